# SPDX-License-Identifier: MIT
# libFuzzer targets for everything that reads what a peer, libxl or an older process wrote:
# tests/fuzz/fuzz_*.c. As many run at once as there are cores.
#
#   make deps-fuzz                        clang and its runtime (Debian, as root)
#   make check-fuzz                       15 s for each target
#   make check-fuzz FUZZ_SECONDS=1800     longer; FUZZ="trunk pages" picks some by their names;
#                                         FUZZ_RUNS=10000000 ends each after so many inputs;
#                                         FUZZ_SEED=0 tries others each time

FUZZ_SECONDS ?= 15
FUZZ_RUNS    ?= -1
FUZZ_SEED    ?= 1
FUZZ_JOBS    ?= $(shell nproc)
FUZZ         ?=
FUZZ_CC      := clang
FUZZ_B       := build/fuzz
FUZZ_CFLAGS  := -O2 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
                -fno-sanitize-recover=all
# Clang takes designated initialisers for forgotten fields; gcc, which builds the programs, does not.
FUZZ_WARNINGS = $(WARNINGS) -Wno-missing-field-initializers
FUZZ_ALL     := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS    := $(addprefix $(FUZZ_B)/fuzz_,$(FUZZ_ALL))
fuzz_obj      = $(patsubst %.c,$(FUZZ_B)/obj/%.o,$(1))

# What is fuzzed is an archive: a target links what it reaches, and takes the place of the rest.
FUZZ_LIB := $(FUZZ_B)/libfuzzed.a
FUZZ_SRC := $(LIB_SRC) $(filter-out %/main.c,$(CMD_SRC) $(HELP_SRC) $(BOTH_SRC)) \
            tests/unit/wire_peer.c tests/unit/memory_channel.c tests/unit/saved_file.c tests/unit/compact_file.c \
            tests/unit/legacy_files.c tests/fuzz/expand.c

FUZZ_LDLIBS := -pthread -llz4 -lzstd -ljansson -lcrypto
# Without Xen's libraries but there, so that a hypercall that nobody plays does not link.
$(FUZZ_B)/fuzz_config: FUZZ_LDLIBS += $(PKG_LIBS)
$(addprefix $(FUZZ_B)/fuzz_,config journal link messages): $(call fuzz_obj,tests/fuzz/mutate_json.c)
$(addprefix $(FUZZ_B)/fuzz_,aux restore): $(call fuzz_obj,tests/fuzz/fake_xen.c tests/fuzz/never_asked.c)

$(FUZZ_B)/obj/%.o: %.c
	$(call say,CC,$< (fuzz))
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -std=gnu11 $(FUZZ_CFLAGS) $(FUZZ_WARNINGS) -pthread -fsanitize=fuzzer-no-link \
	    $(ALL_CPPFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_LIB): $(call fuzz_obj,$(FUZZ_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsP $@ $^

$(FUZZ_BINS): $(FUZZ_B)/%: $(FUZZ_B)/obj/tests/fuzz/%.o $(FUZZ_B)/obj/tests/fuzz/fuzz.o $(FUZZ_LIB)
	$(call say,LD,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $^ $(FUZZ_LDLIBS)

$(FUZZ_B)/seeds: $(call fuzz_obj,$(wildcard tests/fuzz/seed*.c)) $(FUZZ_LIB)
	$(call say,LD,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $^ $(FUZZ_LDLIBS)

-include $(shell find $(FUZZ_B)/obj -name '*.d' 2>/dev/null)

.PHONY: deps-fuzz
deps-fuzz: deps
	$(call install_missing,clang libclang-rt-14-dev)

.PHONY: check-fuzz
check-fuzz: deps-fuzz
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) fuzz-targets
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_RUNS=$(FUZZ_RUNS) FUZZ_SEED=$(FUZZ_SEED) \
	    FUZZ_JOBS=$(FUZZ_JOBS) tests/fuzz/run $(FUZZ_B) $(or $(FUZZ),$(FUZZ_ALL))

.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_BINS) $(FUZZ_B)/seeds
