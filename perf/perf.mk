# SPDX-License-Identifier: MIT
# Programs that measure; nothing of them is installed, and a check runs them only to see that they
# work (tests/e2e/test-bench.sh).
#
#   make bench                      everything, within 45 minutes, as root for huge pages
#   make bench BENCH_ARGS=--quick   within 3 minutes
#   build/xmigrate-bench --help     parts of it
#   make bench-wan                  over long links, beside plain TCP, as root for namespaces
#   make bench-wan BENCH_ARGS=--quick
#   make bench-many                 many guests at once, as root; BENCH_ARGS=--quick
#   make bench-pause                where a guest's pause goes; BENCH_ARGS=--quick within a minute
#   make bench-pools                what a pool that is not memory adds to it; BENCH_ARGS=--quick
#   make bench-delta                what --delta-cache saves and costs; BENCH_ARGS=--quick
#   make bench-checkpoint           files of guests, beside stock xl; BENCH_ARGS=--quick

PERF_SRC  := $(wildcard perf/*.c)
PERF_BINS := $(patsubst perf/%.c,$(B)/perf/%,$(PERF_SRC))

$(B)/perf/content: $(call obj,xensim/guest/content.c xensim/guest/words.c xensim/guest/trace.c)
$(B)/perf/content: LDLIBS += -lm

$(B)/perf/%: $(B)/obj/perf/%.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/xmigrate-bench: perf/xmigrate-bench
	$(call say,LN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)ln -sf $(abspath $<) $@

.PHONY: perf
perf: all xensim $(PERF_BINS) $(B)/xensim-mappings $(B)/xmigrate-bench

# What is measured beside xmigrate is fetched if it can be; what is not there is reported as skipped.
BENCH_ARGS ?=
.PHONY: bench
bench: perf
	-$(Q)$(MAKE) --no-print-directory bench-peers
	$(Q)$(B)/xmigrate-bench $(BENCH_ARGS)

.PHONY: bench-peers
bench-peers: stock-helper
	$(call install_missing,openssl qemu-system-x86)
	-$(Q)$(MAKE) --no-print-directory $(BEST_QEMU)

# A newer QEMU than the release's, unpacked and not installed.
BEST_QEMU := build/qemu/usr/bin/qemu-system-x86_64
$(BEST_QEMU): perf/get-qemu
	$(call say,GET,qemu-system-x86)
	$(Q)perf/get-qemu build/qemu && touch $@

.PHONY: bench-wan
bench-wan: perf $(B)/link/emulate
	$(Q)perf/bench-wan --build $(B) $(BENCH_ARGS)

# Many guests that leave a host at once.
.PHONY: bench-many
bench-many: perf $(B)/link/emulate
	$(Q)perf/bench-many --build $(B) $(BENCH_ARGS)

# Where a guest's pause goes.
.PHONY: bench-pause
bench-pause: perf
	$(Q)perf/bench-pause --build $(B) $(BENCH_ARGS)

# What gigabytes that are not memory add to it.
.PHONY: bench-pools
bench-pools: perf
	$(Q)perf/bench-pools --build $(B) $(BENCH_ARGS)

# What differences to what was sent before save, and cost.
.PHONY: bench-delta
bench-delta: perf
	$(Q)perf/bench-delta --build $(B) $(BENCH_ARGS)

# Files of guests: how fast, how large.
.PHONY: bench-checkpoint
bench-checkpoint: perf stock-helper
	$(Q)perf/bench-checkpoint --build $(B) $(BENCH_ARGS)

# How well migrations converge: the scheduler of sched/ beside others, in simulated time.
CONVERGE_SRC := $(wildcard perf/converge/*.c)
$(B)/perf/converge: $(call obj,$(CONVERGE_SRC)) $(CMD_LIB) $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: bench-convergence
bench-convergence: all xensim $(B)/perf/converge
	$(Q)perf/converge/bench --build $(B)
