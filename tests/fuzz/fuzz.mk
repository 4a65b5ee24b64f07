# libFuzzer targets for everything that reads what a peer wrote: tests/fuzz/fuzz_*.c.
#
#   make deps-fuzz                 clang and its runtime (Debian, as root)
#   make check-fuzz                FUZZ_SECONDS=60 for each target

FUZZ_SECONDS ?= 60
FUZZ_CC      := clang
FUZZ_B       := build/fuzz
FUZZ_SAN     := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_NAMES   := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS    := $(addprefix $(FUZZ_B)/,$(FUZZ_NAMES))
FUZZ_SHARED  := $(wildcard base/*.c transport/*.c) tests/unit/wire_peer.c \
                tests/unit/memory_channel.c
fuzz_obj      = $(patsubst %.c,$(FUZZ_B)/obj/%.o,$(1))

$(FUZZ_B)/obj/%.o: %.c
	$(call say,CC,$< (fuzz))
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -std=gnu11 -O1 -g $(WARNINGS) -pthread $(FUZZ_SAN) -fsanitize=fuzzer-no-link \
	    $(CPPFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_BINS): $(FUZZ_B)/%: $(FUZZ_B)/obj/tests/fuzz/%.o $(call fuzz_obj,$(FUZZ_SHARED))
	$(call say,LD,$@)
	$(Q)$(FUZZ_CC) -pthread $(FUZZ_SAN) -fsanitize=fuzzer -o $@ $^ -llz4 -lzstd

$(FUZZ_B)/seeds: $(call fuzz_obj,tests/fuzz/seeds.c $(FUZZ_SHARED))
	$(call say,LD,$@)
	$(Q)$(FUZZ_CC) -pthread $(FUZZ_SAN) -o $@ $^ -llz4 -lzstd

-include $(shell find $(FUZZ_B)/obj -name '*.d' 2>/dev/null)

.PHONY: deps-fuzz
deps-fuzz: deps
	$(call install_missing,clang libclang-rt-14-dev)

.PHONY: check-fuzz
check-fuzz: deps-fuzz
	$(Q)$(MAKE) --no-print-directory run-fuzz

.PHONY: run-fuzz
run-fuzz: $(FUZZ_BINS) $(FUZZ_B)/seeds
	$(Q)$(FUZZ_B)/seeds $(FUZZ_B)/corpus
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run $(FUZZ_B)/corpus $(FUZZ_BINS)
