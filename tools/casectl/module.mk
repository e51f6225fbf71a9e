PROGRAMS += casectl
casectl_SRCS := $(sort $(wildcard tools/casectl/*.c))
