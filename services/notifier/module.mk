# SPDX-License-Identifier: Apache-2.0
PROGRAMS += notifier
notifier_SRCS := $(addprefix services/notifier/,notifier.c plan_turn.c notice_store.c notice_budget.c notice_mail.c notice_text.c \
	sender.c lane.c lane_connection.c send_store.c)

$(BUILD)/tests/unit/notifier/notice_text_test: $(BUILD)/services/notifier/notice_text.o
