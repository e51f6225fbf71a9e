# SPDX-License-Identifier: Apache-2.0
# parser_killer is the threader whose parser misbehaves when a mail asks for it; the product has no such hook.
TEST_PROGRAMS += tests/service/threader/post tests/service/threader/parser_killer
$(BUILD)/tests/service/threader/parser_killer: $(threader_SRCS:%.c=$(BUILD)/%.o)
$(BUILD)/tests/service/threader/parser_killer: LDFLAGS += -Wl,--wrap=mail_parse
