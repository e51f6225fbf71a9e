/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/smtp_data.h"

#include "base/banned.h"

void smtp_data_write(struct buf *out, struct str mail)
{
	size_t at = 0;

	while (at < mail.len) {
		size_t end = at;
		while (end < mail.len && mail.at[end] != '\r' && mail.at[end] != '\n')
			end++;
		if (mail.at[at] == '.')
			buf_add_char(out, '.');
		buf_add(out, mail.at + at, end - at);
		buf_add_text(out, "\r\n");
		at = end + 1;
		if (end + 1 < mail.len && mail.at[end] == '\r' && mail.at[end + 1] == '\n')
			at++;
	}
	buf_add_text(out, ".\r\n");
}
