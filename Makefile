# SPDX-License-Identifier: Apache-2.0
# One make process builds everything. `make help` lists the goals.
#
#	BUILD=folder         where objects go            (build)
#	SANITIZE=address,undefined                       (builds into build-san)
#	WERROR=0             warnings do not stop the build
#	V=1                  print the commands
#	BUS=kafka            the engine that run, test and bench use

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

SANITIZE ?=
BUILD ?= $(if $(SANITIZE),build-san,build)
WERROR ?= 1
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
PKG_CONFIG ?= pkg-config
PROTOC_C ?= protoc-c
Q := $(if $(V),,@)

# ---- what is there

LIB_SRCS := $(sort $(wildcard lib/*/*.c))
PROTOS := $(sort $(wildcard proto/mailcase/v1/*.proto))
MIGRATIONS := $(sort $(wildcard db/migrations/*.sql))
HEADERS := $(sort $(wildcard lib/*/*.h services/*/*.h tools/*/*.h))
TEST_SRCS := $(sort $(wildcard tests/unit/*/*_test.c))
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/*_fuzz.c))
FUZZ_SECONDS ?= 60
C_FILES := $(HEADERS) $(sort $(wildcard lib/*/*.c services/*/*.c tools/*/*.c tests/unit/*/*.c tests/fuzz/*.c))
SHELL_SCRIPTS := $(sort $(wildcard scripts/*.sh tests/*.sh tests/*/*.sh tests/*/*/*/*.sh deploy/*/*.sh examples/*/*.sh))

PURE_LAYERS := base mail protocol domain
PURE_PACKAGES := jansson libcrypto $(if $(wildcard lib/mail/*.c),gmime-3.0 uchardet gumbo)
EDGE_PACKAGES := libpq rdkafka libcurl libmicrohttpd libsodium libprotobuf-c libseccomp
PACKAGES := gmime-3.0 uchardet gumbo jansson libcrypto $(EDGE_PACKAGES)

MISSING := $(shell for p in $(PACKAGES); do $(PKG_CONFIG) --exists $$p || echo $$p; done)
ifneq ($(MISSING),)
# These call deps.sh first and make again after it.
ifeq ($(filter help deps clean run stop test bench soak,$(MAKECMDGOALS)),)
$(error pkg-config does not know $(MISSING): `make deps` installs what is needed)
endif
endif

# ---- flags

WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
	-Wformat=2 -Wcast-qual -Wundef -Wwrite-strings -Wmissing-declarations -Wimplicit-fallthrough=2 -Wnull-dereference \
	-Wno-missing-field-initializers -Wno-format-truncation
HARDEN := -fstack-protector-strong -fno-plt -fPIE
ifeq ($(SANITIZE),)
OPTIMIZE := -O2 -g
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
else
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
# With the sanitizers' own checks in the way gcc sees null pointers that are not there.
WARNINGS += -Wno-null-dereference -Wno-maybe-uninitialized
endif

PACKAGE_CFLAGS := $(patsubst -I%,-isystem %,$(filter-out -I/usr/include,$(shell $(PKG_CONFIG) --cflags $(PACKAGES))))
PACKAGE_LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES))
PURE_LIBS := $(shell $(PKG_CONFIG) --libs $(PURE_PACKAGES))

CPPFLAGS_ALL = -D_GNU_SOURCE -Ilib -isystem $(BUILD)/gen $(PACKAGE_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 -pthread $(OPTIMIZE) $(HARDEN) $(WARNINGS) $(if $(filter-out 0,$(WERROR)),-Werror) $(CFLAGS)
LDFLAGS_ALL = -pie -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE),-Wl,-z,relro,-z,now) -Wl,--as-needed $(LDFLAGS)

# ---- generated code

PROTO_C := $(PROTOS:proto/%.proto=$(BUILD)/gen/%.pb-c.c)
PROTO_H := $(PROTO_C:.c=.h)
GEN_SRCS := $(PROTO_C) $(if $(MIGRATIONS),$(BUILD)/gen/migrations.c)

$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h: proto/%.proto
	@mkdir -p $(BUILD)/gen
	$(Q)$(PROTOC_C) -Iproto --c_out=$(BUILD)/gen $<

$(BUILD)/gen/migrations.c: scripts/embed-migrations.sh $(MIGRATIONS)
	@mkdir -p $(@D)
	$(Q)sh scripts/embed-migrations.sh $(MIGRATIONS) > $@

# ---- objects and libraries

LIB_OBJS := $(LIB_SRCS:%.c=$(BUILD)/%.o) $(GEN_SRCS:%.c=%.o)
PURE_OBJS := $(foreach layer,$(PURE_LAYERS),$(filter $(BUILD)/lib/$(layer)/%,$(LIB_OBJS)))
LIB := $(BUILD)/libmailcase.a
PURE := $(BUILD)/libpure.a

# What was built from other flags or other sources is not up to date, however new it is.
ifeq ($(filter help deps clean,$(MAKECMDGOALS)),)
remember = $(shell mkdir -p $(BUILD); echo '$(2)' | cmp -s - $(BUILD)/$(1) || echo '$(2)' >$(BUILD)/$(1))
$(call remember,flags,$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL))
$(call remember,sources,$(LIB_OBJS))
endif

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "  cc    $<")
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# What a generator wrote is not ours to warn about.
$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags
	$(if $(V),,@echo "  cc    $<")
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -w -MMD -MP -c -o $@ $<

# A pattern rule without a recipe would say nothing: name the objects.
$(filter $(BUILD)/lib/wire/%,$(LIB_OBJS)): | $(PROTO_H)

$(LIB): $(LIB_OBJS) $(BUILD)/sources
	$(if $(V),,@echo "  ar    $@")
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

$(PURE): $(PURE_OBJS) $(BUILD)/sources
	$(if $(V),,@echo "  ar    $@")
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

# ---- programs: each module.mk adds `PROGRAMS += name` and `name_SRCS := ...`; `name_LIBS` where more is linked

PROGRAMS :=
include $(sort $(wildcard services/*/module.mk tools/*/module.mk))
PROGRAM_FILES := $(PROGRAMS:%=$(BUILD)/bin/%)
PROGRAM_OBJS := $(foreach program,$(PROGRAMS),$($(program)_SRCS:%.c=$(BUILD)/%.o))

define PROGRAM_RULE
$(BUILD)/bin/$(1): $($(1)_SRCS:%.c=$(BUILD)/%.o) $(LIB)
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  link  $$@")
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) -o $$@ $$^ $$($(1)_LIBS) $$(PACKAGE_LIBS) -lm
endef
$(foreach program,$(PROGRAMS),$(eval $(call PROGRAM_RULE,$(program))))

# ---- unit tests: one program a file. Those of the pure layers link nothing that could reach outside. Where a test needs
# a file of a service, the service's module.mk says so and it is linked along:
#	$(BUILD)/tests/unit/threader/x_test: $(BUILD)/services/threader/x.o

TESTS := $(TEST_SRCS:%.c=$(BUILD)/%)
PURE_TESTS := $(foreach layer,$(PURE_LAYERS),$(filter $(BUILD)/tests/unit/$(layer)/%,$(TESTS)))
OTHER_TESTS := $(filter-out $(PURE_TESTS),$(TESTS))

$(PURE_TESTS): %: %.o $(PURE)
	$(if $(V),,@echo "  link  $@")
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(PURE) $(PURE_LIBS) -lcmocka -lm

$(OTHER_TESTS): %: %.o $(LIB)
	$(if $(V),,@echo "  link  $@")
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(filter %.o,$(filter-out $<,$^)) $(LIB) $(PACKAGE_LIBS) -lcmocka -lm

# ---- programs that the service tests drive: a module.mk beside them says `TEST_PROGRAMS += tests/service/bus/bus_peer`

TEST_PROGRAMS :=
-include $(sort $(wildcard tests/*/*/module.mk))
TEST_PROGRAM_FILES := $(TEST_PROGRAMS:%=$(BUILD)/%)

$(TEST_PROGRAM_FILES): %: %.o $(LIB)
	$(if $(V),,@echo "  link  $@")
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(filter %.o,$(filter-out $<,$^)) $(LIB) $(PACKAGE_LIBS) -lcmocka -lm

# ---- goals

.PHONY: test-programs
test-programs: $(TEST_PROGRAM_FILES) ## what the service tests drive

.PHONY: all check golden golden-accept contract contract-check contract-accept contract-publish unit layering headers lint format docs docs-check test run stop bench soak fuzz deps clean help programs

all: $(LIB) $(PURE) $(PROGRAM_FILES) ## build every program

check: all $(TESTS) golden layering headers docs-check contract-check ## unit tests, layering, headers: seconds, no network
	@tests/unit/run.sh $(TESTS)

golden: $(BUILD)/bin/casectl ## what we understand of the mails in tests/corpus
	@tests/corpus/run.sh $<

golden-accept: $(BUILD)/bin/casectl ## rewrite the expectations there; read the difference
	@tests/corpus/run.sh $< accept

contract: contract-check ## the contract as others see it: buf, AsyncAPI, the bytes in a second language
	/usr/bin/python3 -m pytest -p no:cacheprovider -q -rs $(patsubst %,tests/service/contract/test_%.py,protos asyncapi golden everywhere)

contract-check: ## topics.yaml, protos, code, AsyncAPI, manifests and docs/integrate.md say the same
	@/usr/bin/python3 scripts/check-contract.py

contract-accept: $(BUILD)/tests/unit/wire/golden_events_test ## rewrite the bytes of every event; read the difference
	@$< --accept
	@tests/contract/encode.sh

contract-publish: ## note today's protos as the published ones, which `buf breaking` compares with: at a release
	@mkdir -p contracts/published/mailcase/v1
	cp $(filter-out %/parsed_mail.proto,$(PROTOS)) contracts/published/mailcase/v1

layering: ## the arrows between the layers point down
	@scripts/check-layering.sh

headers: $(HEADERS:%=$(BUILD)/headers/%.o) ## each header compiles alone

$(BUILD)/headers/%.h.o: %.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ -x c $<

test: ## the true programs against real servers: BUS=kafka for a real broker
	@exec tests/run.sh

run: ## everything on this machine, with sample mail
	@exec deploy/local/run.sh start

stop: ## stop what `make run` started
	@exec deploy/local/run.sh stop

bench: ## measure the budgets
	@exec tests/bench/run.sh

soak: ## the bench for hours
	@exec tests/bench/run.sh soak

deps: ## install what building and testing need
	@exec deploy/local/deps.sh test

lint: ## cppcheck, shellcheck, and what clang-format would change (advice only)
	cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppressions-list=scripts/cppcheck-suppressions.txt --library=scripts/cppcheck.cfg -j2 -D_GNU_SOURCE -Ilib \
		$(wildcard lib services tools)
	shellcheck $(SHELL_SCRIPTS)
	-@clang-format --dry-run $(C_FILES) 2>&1 | grep -c 'Wclang-format' | sed 's/$$/ places differ from .clang-format: make format/'

format: ## rewrite every .c and .h as .clang-format says
	clang-format -i $(C_FILES)

docs-check: $(PROGRAM_FILES)
	@/usr/bin/python3 scripts/docs.py --check $(BUILD)/bin $(PROGRAMS)

docs: all ## README.md's tables of settings, metrics and log events; those of docs/integrate.md, and asyncapi.yaml
	/usr/bin/python3 scripts/docs.py $(BUILD)/bin $(PROGRAMS)
	/usr/bin/python3 scripts/check-contract.py --write

# clang compiles the pure layers, wire and the fuzzers with coverage into a folder of their own.
FUZZ_BUILD := build-fuzz
FUZZERS := $(FUZZ_SRCS:tests/fuzz/%_fuzz.c=$(FUZZ_BUILD)/%)
FUZZ_FLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_OBJS := $(patsubst $(BUILD)/%,$(FUZZ_BUILD)/%,$(PURE_OBJS) $(filter $(BUILD)/lib/wire/%,$(LIB_OBJS)))
FUZZ_GEN := $(patsubst %.c,%.o,$(PROTO_C))

$(FUZZ_BUILD)/%.o: %.c | $(PROTO_H)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  clang $<")
	$(Q)clang $(CPPFLAGS_ALL) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/libfuzz.a: $(FUZZ_OBJS) $(FUZZ_GEN)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(FUZZERS): $(FUZZ_BUILD)/%: $(FUZZ_BUILD)/tests/fuzz/%_fuzz.o $(FUZZ_BUILD)/libfuzz.a
	$(Q)clang $(FUZZ_FLAGS) -o $@ $^ $(PURE_LIBS) $(if $(FUZZ_GEN),-lprotobuf-c) -lm

fuzz: $(FUZZERS) ## each parser under clang's libFuzzer: FUZZ_SECONDS=60 in all, FUZZ=name for one
	tests/fuzz/run.sh $(FUZZ_BUILD) $(FUZZ_SECONDS) $(if $(FUZZ),$(FUZZ),$(notdir $(FUZZERS)))

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 12

clean: ## remove what was built
	rm -rf build build-san build-fuzz

-include $(FUZZ_OBJS:.o=.d) $(FUZZ_SRCS:%.c=$(FUZZ_BUILD)/%.d) $(LIB_OBJS:.o=.d) $(PROGRAM_OBJS:.o=.d) $(TESTS:=.d) $(TEST_PROGRAM_FILES:=.d) $(HEADERS:%=$(BUILD)/headers/%.d)
