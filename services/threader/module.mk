# SPDX-License-Identifier: Apache-2.0
PROGRAMS += threader
threader_SRCS := $(addprefix services/threader/,threader.c understand.c thread_setup.c thread_claim.c thread_refs.c \
	thread_facts.c thread_changes.c thread_apply.c)
