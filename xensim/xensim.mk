# SPDX-License-Identifier: MIT
# xensim: the daemon with its command, and the library that is preloaded into toolstacks.

XENSIM_SRC := $(wildcard xensim/*.c xensim/hypervisor/*.c xensim/guest/*.c)
XENSIM_LIB_SRC := $(wildcard xensim/preload/*.c) xensim/wire.c xensim/client.c xensim/helper.c \
                  $(addprefix base/,cancel.c deadline.c err.c io.c units.c)
XENSIM_BASE := $(wildcard base/*.c)

.PHONY: xensim
xensim: $(B)/xensim $(B)/libxensim.so
all: xensim

$(B)/xensim: $(call obj,$(XENSIM_SRC) $(XENSIM_BASE))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -pthread -lm -lzstd

# What it has in it.
$(call obj,xensim/guest/trace.c): xensim/traces/sqlite.zst xensim/traces/kv.zst

# Preloaded into programs that lack most of what it calls: nothing may be looked up at its start.
$(B)/libxensim.so: HARDENING_LDFLAGS := -Wl,-z,lazy
$(B)/libxensim.so: $(patsubst %.c,$(B)/pic/%.o,$(XENSIM_LIB_SRC))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -shared -o $@ $^ -pthread -ldl

# Without sanitizers: it is preloaded into programs that have none, such as the stock helper, and
# stands before a sanitizer's own interceptors in those that do, which is why they are linked
# statically there.
$(B)/pic/%.o $(B)/libxensim.so: SAN_CFLAGS :=
$(B)/xensim $(B)/xmigrate $(B)/xmigrate-save-helper $(B)/e2e/%: \
    ALL_LDFLAGS += $(if $(filter asan,$(SAN)),-static-libasan -static-libubsan) \
               $(if $(filter tsan,$(SAN)),-static-libtsan)

$(B)/pic/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden $(ALL_CPPFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(B)/pic -name '*.d' 2>/dev/null)

# Its own unit tests (tests/unit/test_xensim_*.c) take what they test from here.
$(B)/tests/unit/test_xensim_content: $(call obj,xensim/guest/content.c xensim/guest/words.c xensim/guest/trace.c base/units.c)
$(B)/tests/unit/test_xensim_content: LDLIBS += -lm
$(B)/tests/unit/test_xensim_client: $(call obj,xensim/client.c xensim/wire.c base/err.c)
$(B)/tests/unit/test_xensim_client: COUNT_ALLOCATIONS :=
$(B)/tests/unit/test_xensim_usage: $(call obj,xensim/usage.c base/err.c)
$(B)/tests/unit/test_xensim_logdirty: $(call obj,xensim/hypervisor/logdirty.c)
$(B)/tests/unit/test_xensim_region: $(call obj,xensim/preload/region.c)
$(B)/tests/unit/test_xensim_region: COUNT_ALLOCATIONS :=

# How fast it is itself: make bench-xensim.
$(B)/xensim-bench: $(call obj,xensim/bench/bench.c xensim/client.c xensim/wire.c $(XENSIM_BASE))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

# What a round's mappings cost in it alone: make bench-pause.
$(B)/xensim-mappings: $(call obj,xensim/bench/mappings.c) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: bench-xensim
bench-xensim: xensim $(B)/xensim-bench
	$(Q)B=$(B) xensim/bench/run
