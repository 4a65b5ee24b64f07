# SPDX-License-Identifier: MIT
# The hand-off's model, checked by spin: tests/model/run. FAULTS=2 takes hours and up to 7.6 GiB.

$(B)/model/table: $(B)/obj/tests/model/table.o $(call obj,$(wildcard cmd/handoff/machine.c)) $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: check-model
check-model: $(B)/model/table
	$(Q)B=$(B)/model FAULTS=$(or $(FAULTS),1) tests/model/run
