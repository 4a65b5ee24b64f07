# SPDX-License-Identifier: MIT
# One cmocka program for each tests/unit/test_*.c; tests/unit/run prints their sum.

UNIT_SRC  := $(wildcard tests/unit/test_*.c)
UNIT_BINS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(UNIT_SRC))

# What the programs are made of, but for their main(), so that it can be tested too.
CMD_LIB := $(B)/libxmigrate-cmd.a
$(CMD_LIB): $(call obj,$(filter-out %/main.c,$(CMD_SRC) $(HELP_SRC) $(BOTH_SRC)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsP $@ $^

# Other files of this folder are helpers that any test may use.
UNIT_LIB := $(B)/libunit.a
$(UNIT_LIB): $(call obj,$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsP $@ $^

$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(UNIT_LIB) $(CMD_LIB) $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COUNT_ALLOCATIONS) $(LDLIBS) -lcmocka

.PHONY: unit-tests
unit-tests: $(UNIT_BINS)

.PHONY: check-unit
check-unit: unit-tests
	$(Q)tests/unit/run $(UNIT_BINS)
