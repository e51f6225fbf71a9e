/* SPDX-License-Identifier: Apache-2.0
 * encoded_word - header text with RFC 2047 encoded words, on one line of UTF-8
 *
 * Own decoding because GMime's loses text: adjacent base64 words are decoded as one stream that ends at the first
 * padding, and a charset it cannot open leaves the word undecoded. Here adjacent words of one charset are put together
 * before they are converted (senders cut multi-byte characters), each with its padding.
 */
#ifndef MAILCASE_ENCODED_WORD_H
#define MAILCASE_ENCODED_WORD_H

#include "base/arena.h"
#include "base/str.h"

/* Unfolded, decoded, without control characters, trimmed. 8-bit bytes climb the charset ladder and are a defect. */
struct str header_text(struct arena *arena, struct str raw_value, uint32_t *defects);

/* The length of the encoded word that starts at s.at, 0 if none does. */
size_t encoded_word_length(struct str s);

#endif
