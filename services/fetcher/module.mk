PROGRAMS += fetcher
fetcher_SRCS := $(sort $(wildcard services/fetcher/*.c))
