# SPDX-License-Identifier: MIT
# A long link in network namespaces of its own, for tests and benchmarks.
$(B)/link/emulate: $(B)/obj/tests/link/emulate.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
