/* SPDX-License-Identifier: Apache-2.0
 * parser_sandbox - the side of the parser child: give everything up, then parse what comes in
 */
#ifndef MAILCASE_PARSER_SANDBOX_H
#define MAILCASE_PARSER_SANDBOX_H

/* Everything that needs files is opened first (converters, the detector, OpenSSL's configuration, by a mail with every
 * feature); then limits and the system call filter; then mails are read from PARSER_SOCKET until it ends. */
_Noreturn void parser_sandbox_main(void);

#endif
