# SPDX-License-Identifier: MIT
"""What gigabytes that are not memory add to a guest's pause, on xensim.

The same guest moves without a pool of transcendent memory, with one that it leaves alone, and with
one that it puts into, gets from and flushes all the time. Each turn makes it anew, one after the
other: what swings on a shared machine swings for all three alike.
"""
import argparse
import json
import os
import random
from dataclasses import asdict, dataclass
from statistics import median

from .cases import Bout, size_bytes
from .hosts import GUEST, MIB, Hosts, Stage
from .main import measured
from .players import Xmigrate
from .process import Failed
from .report import as_table

MOST_TIMES = 1.2  # the pause without a pool, for one that is left alone
SIZE, POOL, TURNS, QUICK_TURNS = "256M", "1G", 7, 3
TYPES, QUICK_TYPES = ("pvh", "pv", "pv32", "hvm"), ("pvh", "pv")
OPERATIONS_PER_S = 5000
NONE, IDLE, USED = "none", "idle", "used"
POOLS = (NONE, IDLE, USED)
BOUT = Bout("pools", "random", True, 2, ())


@dataclass(frozen=True)
class Turn:
    """pages, entries and kib: what was sent in the pause; all_mib: of the pool, in the whole move."""

    pause_ms: float
    last_round_ms: float
    pages: int
    entries: int
    kib: float
    all_mib: float


def turn_of(events):
    done = events[-1]
    last = next(e for e in events if e["event"] == "round" and e["last"])
    return Turn(done["downtime_ns"] / 1e6, done["downtime"]["last_round_ns"] / 1e6, last["pages"],
                last["aux_entries"], last["aux_bytes"] / 1024, done["aux_bytes"] / MIB)


class Bench(Stage):
    def __init__(self, build, size, pool):
        super().__init__(build)
        self.size, self.pool = size, pool
        self.xmigrate = Xmigrate(self)

    def open_hosts(self):
        # A guest and its pools, the ephemeral one too, and something over.
        fits = (size_bytes(self.size) + size_bytes(self.pool) * 5 // 4) // size_bytes(self.size) + 1
        self.hosts = Hosts(self.build, self.work, "", self.size, guests=fits, options=("--tmem",))

    def turn(self, kind, pool):
        if not self.hosts:
            self.open_hosts()
        hosts = self.hosts
        words = () if pool == NONE else ("--tmem", self.pool)
        if pool == USED:
            words += ("--tmem-rate", str(OPERATIONS_PER_S))
        hosts.drop_guest()
        hosts.xensim("create", hosts.names[0], "--type", kind, "--memory", self.size, "--vcpus", "1",
                     "--dirty", "0", "--content", "random=100", "--name", GUEST, *words)
        events, _ = self.xmigrate.move(BOUT, "off", hosts)
        hosts.xensim("verify", hosts.names[1], GUEST)
        return turn_of(events)

    def take_turn(self, kind, pool):
        try:
            return self.turn(kind, pool)
        except Failed:
            self.close_hosts()
            raise


COLUMNS = ("guest", "pool", "whole ms", "last round", "pages", "entries", "KiB", "MiB in all",
           "to none")


def times(turns, none):
    """The median pause beside that without a pool."""
    return median(t.pause_ms for t in turns) / median(t.pause_ms for t in none)


def row(kind, pool, found):
    turns = found[kind, pool]

    def middle(name, digits=0):
        return f"{median(getattr(t, name) for t in turns):,.{digits}f}"

    beside = f"{times(turns, found[kind, NONE]):.2f}" if found[kind, NONE] else ""
    return (kind, pool, middle("pause_ms", 1), middle("last_round_ms", 1), middle("pages"),
            middle("entries"), middle("kib"), middle("all_mib"), beside)


def measure_all(bench, kinds, turns):
    """{(type, pool): turns}"""
    found = {(kind, pool): [] for kind in kinds for pool in POOLS}
    for kind in kinds:
        for _ in range(turns):
            for pool in random.sample(POOLS, len(POOLS)):
                try:
                    found[kind, pool].append(bench.take_turn(kind, pool))
                except Failed as e:
                    print(f"failed: {kind}, pool {pool}: {e}", flush=True)
        print(as_table([row(kind, p, found) for p in POOLS if found[kind, p]], COLUMNS), flush=True)
    return found


def verdict(kind, found, turns):
    if any(len(found[kind, pool]) < turns for pool in POOLS):
        return "FAILED"
    ratio = times(found[kind, IDLE], found[kind, NONE])
    return f"{ratio:.2f}, {'met' if ratio <= MOST_TIMES else 'NOT MET'}"


def parse(argv):
    p = argparse.ArgumentParser(
        prog="bench-pools",
        description="What pools of transcendent memory add to the pause of a guest on xensim, "
                    "medians in ms. Ends with 0 if the goal is met. Results: pools.json in the "
                    "build directory.")
    p.add_argument("types", nargs="*", metavar="TYPE", help=f"only these of {', '.join(TYPES)}")
    p.add_argument("--quick", action="store_true",
                   help=f"{' and '.join(QUICK_TYPES)}, within a minute")
    p.add_argument("--turns", type=int, metavar="N",
                   help=f"of each case ({TURNS}; {QUICK_TURNS} with --quick)")
    p.add_argument("--memory", default=SIZE, metavar="SIZE", help=f"of the guest ({SIZE})")
    p.add_argument("--pool", default=POOL, metavar="SIZE", help=f"of its persistent pool ({POOL})")
    p.add_argument("--build", default="build", metavar="DIR")
    p.add_argument("--output", metavar="DIR", help="for the results (the build directory)")
    return p.parse_args(argv[1:])


def main(argv):
    options = parse(argv)
    kinds = options.types or (QUICK_TYPES if options.quick else TYPES)
    build = os.path.abspath(options.build)
    turns = options.turns or (QUICK_TURNS if options.quick else TURNS)
    found = measured(lambda: Bench(build, options.memory, options.pool), "",
                     lambda bench: measure_all(bench, kinds, turns))
    if found is None:
        return 130
    with open(f"{options.output or build}/pools.json", "w", encoding="utf-8") as f:
        json.dump([{"type": kind, "pool": pool, "turns": [asdict(t) for t in turns_of]}
                   for (kind, pool), turns_of in found.items()], f, indent=1)
    said = {kind: verdict(kind, found, turns) for kind in kinds}
    print(f"load of the last minute {os.getloadavg()[0]:.1f}, this benchmark's own included")
    print(f"goal, the pause with an idle pool of {options.pool} at most {MOST_TIMES} times that "
          f"without: {'; '.join(f'{kind} {words}' for kind, words in said.items())}")
    return 0 if all(words.endswith(", met") for words in said.values()) else 1
