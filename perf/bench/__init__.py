# SPDX-License-Identifier: MIT
"""The benchmark behind perf/xmigrate-bench.

cases.py    what is measured: the one table
figures.py  turns, medians, ratios: pure
report.py   table, JSON, CSV, HTML from figures: pure
process.py  CPU time, children, work directory
hosts.py    simulated hosts and their guest
players.py  the floor, xmigrate and its peers: each knows how to take one turn
rounds.py   what a round costs when the guest is huge
main.py     options, and the bouts
pause.py    the same for perf/bench-pause: where a pause goes
many.py     the same for perf/bench-many: many guests that leave a host at once
pools.py    the same for perf/bench-pools: a pause beside data that is not memory
wan.py      the same for perf/bench-wan: xmigrate and plain TCP over long links
"""
