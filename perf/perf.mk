# Programs that measure; nothing of them is installed or part of a check.

PERF_SRC  := $(wildcard perf/*.c)
PERF_BINS := $(patsubst perf/%.c,$(B)/perf/%,$(PERF_SRC))

$(B)/perf/%: $(B)/obj/perf/%.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: perf
perf: $(PERF_BINS)
