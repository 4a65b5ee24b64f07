# SPDX-License-Identifier: MIT
# End-to-end tests on xensim, run by tests/e2e/run: tests/e2e/test-*.sh, and large-*.sh with guests
# of 8 GiB, one at a time.

# The unmodified save helper and stream checker of Debian's Xen, unpacked and not installed.
STOCK_HELPER := build/xen-utils/usr/lib/xen-4.17/bin/libxl-save-helper
$(STOCK_HELPER):
	$(call say,GET,xen-utils-4.17)
	$(Q)mkdir -p build/xen-utils
	$(Q)cd build && { apt-get download -qq xen-utils-4.17 2>/dev/null || \
	    { apt-get update -qq && apt-get download -qq xen-utils-4.17; } } && \
	    dpkg -x xen-utils-4.17_*.deb xen-utils && rm -f xen-utils-4.17_*.deb && touch xen-utils/usr/lib/xen-4.17/bin/*

.PHONY: stock-helper
stock-helper: $(STOCK_HELPER)

# Programs that tests use beside the real ones: plain toolstack programs on the stock libraries.
E2E_TOOLS := $(patsubst tests/e2e/%.c,$(B)/e2e/%,$(wildcard tests/e2e/*.c))
$(B)/e2e/%: $(B)/obj/tests/e2e/%.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) -lxencall

# Preloaded into xmigrate: without sanitizers, as xensim's library.
E2E_FAULT := $(B)/e2e/fault.so
$(E2E_FAULT): tests/e2e/preload/fault.c
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(CFLAGS) $(WARNINGS) -fPIC -shared -D_GNU_SOURCE -o $@ $< -ldl

.PHONY: e2e-tests check-e2e check-large
e2e-tests: all xensim perf $(B)/link/emulate $(E2E_TOOLS) $(E2E_FAULT)
check-e2e: e2e-tests
	-$(Q)$(MAKE) --no-print-directory stock-helper
	$(Q)B=$(B) SAN=$(SAN) tests/e2e/run $(E2E)
check-large: deps e2e-tests
	$(Q)B=$(B) SAN=$(SAN) E2E_KIND=large E2E_JOBS=1 tests/e2e/run $(E2E)
