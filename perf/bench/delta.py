# SPDX-License-Identifier: MIT
"""What differences save, on xensim: the same move with and without --delta-cache, in turns.

Guests write as a database or a key-value server did (xensim/traces), rewrite 128 MiB in place faster
than the link is, or rewrite all of each page, where differences cannot help and must not cost.
"""
import argparse
import json
import os
import random
from dataclasses import asdict, dataclass
from statistics import median

from .cases import Bout
from .hosts import GUEST, Hosts, Stage
from .main import measured
from .players import Xmigrate
from .process import Failed
from .report import as_table

SIZE, LINK, VCPUS, LANES = "256M", "1G", 2, 2
LINK_PAGES_PER_S = 1e9 / 8 / 4096
PAGES_PER_MIB = 256
TURNS, QUICK_TURNS = 5, 1


@dataclass(frozen=True)
class Case:
    """goals: for each cache what figure may be at most which share of that without."""

    name: str
    content: str
    dirty: int
    pages: int  # each in its turn; 0: nine writes in ten to a tenth of all
    link: str
    codec: str
    goals: tuple  # (cache, figure, share)

    def caches(self):
        return ("0", *dict.fromkeys(cache for cache, _, _ in self.goals))


TABLE = (
    Case("sqlite", "sqlite", 40000, 32 * PAGES_PER_MIB, LINK, "auto", (("64M", "later bytes", 0.25),)),
    Case("kv", "kv", 40000, 32 * PAGES_PER_MIB, LINK, "auto", (("64M", "later bytes", 1.0),)),
    Case("in place", "random=100,write=64", int(1.9 * LINK_PAGES_PER_S), 128 * PAGES_PER_MIB, LINK, "auto",
         (("160M", "pause", 0.1), ("64M", "pause", 0.6))),
    Case("random", "random=100", 20000, 0, "", "auto", (("64M", "CPU", 1.02),)),
)


@dataclass(frozen=True)
class Turn:
    """later_bytes: of rounds from the second on; cpu_s: of both ends, by page sent."""

    later_bytes: int
    pause_ms: float
    said_ms: float
    total_s: float
    cpu_us: float
    rounds: int
    delta_share: float

    def figure(self, name):
        return {"later bytes": self.later_bytes, "pause": self.pause_ms, "CPU": self.cpu_us}[name]


def turn_of(events, cpu_s):
    done = events[-1]
    rounds = [e for e in events if e["event"] == "round"]
    later = rounds[1:]
    return Turn(sum(e["wire_bytes"] for e in later), done["downtime_ns"] / 1e6,
                done["predicted_downtime_ns"] / 1e6, done["total_ns"] / 1e9,
                cpu_s * 1e6 / done["data_pages"], len(rounds),
                done["delta_pages"] / max(1, sum(e["data_pages"] for e in later)))


class Bench(Stage):
    def __init__(self, build):
        super().__init__(build)
        self.xmigrate = Xmigrate(self)

    def pattern(self, case):
        if not case.pages:
            return "hot"
        trace = self.work.path("trace")
        order = random.Random(1).sample(range(case.pages // VCPUS), case.pages // VCPUS)
        with open(trace, "w", encoding="ascii") as f:  # each vCPU follows it in its part of memory
            f.writelines(f"{i}\n" for i in order)
        return f"file:{trace}"

    def take_turn(self, case, cache):
        """The guest is a new one: what it wrote before, and how often, is the same for all."""
        try:
            if not self.hosts:
                self.hosts = Hosts(self.build, self.work, "", SIZE)
            self.hosts.drop_guest()
            self.hosts.xensim("create", self.hosts.names[0], "--memory", SIZE, "--vcpus", str(VCPUS),
                              "--content", case.content, "--dirty", str(case.dirty), "--pattern",
                              self.pattern(case), "--name", GUEST)
            bout = Bout("delta", case.name, True, LANES, (), link=case.link)
            events, cpu_s = self.xmigrate.move(bout, case.codec, self.hosts, ("--delta-cache", cache))
            self.hosts.xensim("verify", self.hosts.names[1], GUEST)
            self.hosts.moved()
            return turn_of(events, cpu_s)
        except Failed:
            self.close_hosts()
            raise


COLUMNS = ("guest", "cache", "rounds", "later MB", "differences", "pause ms", "said ms", "total s",
           "CPU us/page", "to none", "goal")


def ratio(found, case, cache, figure):
    """The median of what each turn is to the one without a cache beside it."""
    pairs = [(a.figure(figure), b.figure(figure))
             for a, b in zip(found[case, cache], found[case, "0"]) if a and b]
    return median(a / b for a, b in pairs) if pairs else None


def judge(found, case, cache):
    """[(figure, ratio, most)]: ratio is None where turns failed."""
    return [(figure, ratio(found, case, cache, figure), most)
            for of, figure, most in case.goals if of == cache]


def row(found, case, cache):
    turns = [t for t in found[case, cache] if t]

    def middle(of):
        return median(of(t) for t in turns) if turns else 0

    judged = judge(found, case, cache)
    return (case.name, cache, f"{middle(lambda t: t.rounds):.0f}",
            f"{middle(lambda t: t.later_bytes) / 1e6:.1f}",
            f"{middle(lambda t: t.delta_share) * 100:.0f} %", f"{middle(lambda t: t.pause_ms):.0f}",
            f"{middle(lambda t: t.said_ms):.0f}", f"{middle(lambda t: t.total_s):.2f}",
            f"{middle(lambda t: t.cpu_us):.2f}",
            " ".join(f"{r:.3f}" if r is not None else "failed" for _, r, _ in judged),
            " ".join("met" if r is not None and r <= most else "NOT MET" for _, r, most in judged))


def last_line(found, cases):
    said = [f"{c.name} {cache}: {figure} {'failed' if r is None else f'{r:.3f}'} of {most}"
            for c in cases for cache in c.caches() for figure, r, most in judge(found, c, cache)]
    return "goals, as shares of what it is without a cache: " + "; ".join(said)


def all_met(found, cases):
    return bool(cases) and all(r is not None and r <= most for c in cases for cache in c.caches()
                               for _, r, most in judge(found, c, cache))


def measure_all(bench, cases, turns):
    found = {(case, cache): [] for case in cases for cache in case.caches()}
    for case in cases:
        for _ in range(turns):
            for cache in random.sample(case.caches(), len(case.caches())):
                try:
                    found[case, cache].append(bench.take_turn(case, cache))
                except Failed as e:
                    found[case, cache].append(None)
                    print(f"failed: {case.name}, {cache}: {e}", flush=True)
        print(as_table([row(found, case, cache) for cache in case.caches()], COLUMNS), flush=True)
    return found


def parse(argv):
    p = argparse.ArgumentParser(
        prog="bench-delta",
        description="What --delta-cache saves and costs, medians. Ends with 0 if every goal is met. "
                    "Results: delta.json in the build directory.")
    p.add_argument("words", nargs="*", metavar="WORD", help="only cases whose name has one of them")
    p.add_argument("--quick", action="store_true", help="one turn of each")
    p.add_argument("--turns", type=int, metavar="N", help=f"of each case ({TURNS})")
    p.add_argument("--build", default="build", metavar="DIR")
    p.add_argument("--output", metavar="DIR", help="for the results (the build directory)")
    return p.parse_args(argv[1:])


def main(argv):
    options = parse(argv)
    cases = [c for c in TABLE if not options.words or any(w in c.name for w in options.words)]
    build = os.path.abspath(options.build)
    turns = options.turns or (QUICK_TURNS if options.quick else TURNS)
    found = measured(lambda: Bench(build), "", lambda bench: measure_all(bench, cases, turns))
    if found is None:
        return 130
    with open(f"{options.output or build}/delta.json", "w", encoding="utf-8") as f:
        json.dump([dict(case=c.name, cache=cache, turns=[t and asdict(t) for t in turns])
                   for (c, cache), turns in found.items()], f, indent=1)
    print(f"load of the last minute {os.getloadavg()[0]:.1f}, this benchmark's own included")
    print(last_line(found, cases))
    return 0 if all_met(found, cases) else 1
