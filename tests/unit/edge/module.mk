# SPDX-License-Identifier: Apache-2.0
# The child of this test parses through a wrapper that misbehaves when a mail asks for it; the product has no such hook.
$(BUILD)/tests/unit/edge/parser_child_test: LDFLAGS += -Wl,--wrap=mail_parse
