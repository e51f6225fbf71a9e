# SPDX-License-Identifier: Apache-2.0
PROGRAMS += casectl
casectl_SRCS := $(sort $(wildcard tools/casectl/*.c))
