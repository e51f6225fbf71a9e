# SPDX-License-Identifier: Apache-2.0
PROGRAMS += router
router_SRCS := $(addprefix services/router/,router.c route.c route_store.c due.c housekeeping.c)
