/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/model.h"

#include "base/banned.h"

const struct mail_limits mail_limits_default = {
	.header_block = 1 << 20,
	.header_line = 64 << 10,
	.headers = 2000,
	.parts = 2000,
	.depth = 100,
	.html_bytes = 512 << 10,
	.html_depth = 512,
	.text_bytes = 4 << 20,
	.addresses = 1000,
	.references = 500,
};

/* In the order of the bits. */
static const char *const defect_names[] = {
	"leading_junk",    "lone_cr",
	"nul_bytes",       "no_from",
	"bad_address",     "no_date",
	"bad_date",        "no_message_id",
	"doubled_header",  "raw_8bit_header",
	"unknown_charset", "charset_guessed",
	"bad_base64",      "bad_quoted_printable",
	"bad_boundary",    "unclosed_multipart",
	"too_deep",        "too_big",
};

static const char *const kind_names[] = {
	[MAIL_NORMAL] = "normal",         [MAIL_LIST] = "list",
	[MAIL_AUTO_REPLY] = "auto_reply", [MAIL_DELIVERY_REPORT] = "delivery_report",
	[MAIL_BOUNCE] = "bounce",         [MAIL_COMPLAINT] = "complaint",
};

const char *mail_defect_name(uint32_t bit)
{
	for (size_t i = 0; i < ARRAY_LEN(defect_names); i++)
		if (bit == UINT32_C(1) << i)
			return defect_names[i];
	return NULL;
}

const char *mail_kind_name(enum mail_kind kind)
{
	return (size_t)kind < ARRAY_LEN(kind_names) ? kind_names[kind] : "normal";
}
