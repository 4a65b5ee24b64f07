# SPDX-License-Identifier: MIT
"""Where a guest's pause goes, on xensim, with few pages left.

A guest of two vCPUs writes the same pages all the time, so just these are left when it stands still.
They lie side by side or apart. xensim needs one mmap for each page that lies apart, at both ends,
where Xen maps a batch at once: a replay of the same mappings alone, by as many threads at both ends
at the same time, stands beside.
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
from .players import Xmigrate, spawn_talking
from .process import Failed, run
from .report import as_table

GOAL_MS, GOAL_PAGES, VCPUS = 10, 1000, 2
TURNS, QUICK_TURNS = 7, 3
SIZE, REPLAYED = "256M", "replayed"
PAGES_APART = 5
FIRST_FRAME = 2048  # of the replay: behind what a guest's first frames are for
WRITTEN_PER_S = 200  # so often each page, that all are left after any round
LEAST_BATCH, BATCHES_EACH, MOST_BATCH = 64, 4, 1024  # as engine/out/lane.c cuts a small round
TYPES = ("pvh", "pv")
PARTS = ("suspend", "clean", "last_round", "state", "receiver", "libxl", "hand_off")


@dataclass(frozen=True)
class Case:
    type: str
    pages: int
    apart: bool
    lanes: int

    def quick(self):
        return self.lanes in (1, 4) and self.pages in (0, GOAL_PAGES)

    def where(self):
        return "" if not self.pages else "scattered" if self.apart else "contiguous"

    def name(self):
        lanes = f"{self.lanes} lane{'s' if self.lanes > 1 else ''}"
        return " ".join(w for w in (self.type, f"{self.pages:,} pages", self.where(), lanes) if w)

    def indices(self, count):
        return [i * (PAGES_APART if self.apart else 1) for i in range(count)]

    def has_goal(self):
        return self.pages == GOAL_PAGES


TABLE = tuple(Case(t, pages, apart, lanes) for t in TYPES for pages in (0, 100, 1000, 10000)
              for apart in (False, True) if pages or not apart for lanes in (1, 2, 4, 8))


@dataclass(frozen=True)
class Turn:
    """pages: that were left; parts_ms as PARTS; whole_ms from the suspend until it was started."""

    pages: int
    parts_ms: tuple
    whole_ms: float
    replay_ms: float  # 0 where pages lie side by side


def turn_of(events, replay_ms):
    done = events[-1]
    last = next(e for e in events if e["event"] == "round" and e["last"])
    return Turn(last["pages"], tuple(done["downtime"][f"{p}_ns"] / 1e6 for p in PARTS),
                done["downtime_ns"] / 1e6, replay_ms)


class Bench(Stage):
    def __init__(self, build):
        super().__init__(build)
        self.guest = None  # the case's, but for lanes
        self.replayed = {}  # on each host the domain that is mapped, while nothing runs
        self.xmigrate = Xmigrate(self)

    def open_hosts(self):
        self.hosts = Hosts(self.build, self.work, "", SIZE, guests=2)
        self.replayed = {
            host: self.hosts.xensim("create", host, "--type", "pvh", "--memory", SIZE, "--dirty",
                                    "0", "--content", "zero=100", "--name", REPLAYED,
                                    "--paused").strip() for host in self.hosts.names}

    def have_guest(self, case):
        wanted = (case.type, case.pages, case.apart)
        if self.guest == wanted:
            return
        if self.guest:
            self.hosts.xensim("destroy", self.hosts.names[0], GUEST)
        self.guest = None
        trace = self.work.path("trace")
        with open(trace, "w", encoding="ascii") as f:  # each vCPU follows it in its part of memory
            f.writelines(f"{i}\n" for i in case.indices(case.pages // VCPUS))
        writes = ["--dirty", str(case.pages * WRITTEN_PER_S), "--pattern", f"file:{trace}"]
        self.hosts.xensim("create", self.hosts.names[0], "--type", case.type, "--memory", SIZE,
                          "--vcpus", str(VCPUS), "--content", "random=100", "--name", GUEST,
                          *(writes if case.pages else ["--dirty", "0"]))
        self.guest = wanted

    def replay(self, case):
        """ms, the slower end's."""
        if not case.apart:
            return 0
        frames = "".join(f"{FIRST_FRAME + i}\n" for i in case.indices(case.pages))
        batch = min(MOST_BATCH, max(LEAST_BATCH, case.pages // case.lanes // BATCHES_EACH))
        ends = [spawn_talking(
            self.hosts.program(host, f"{self.build}/xensim-mappings", self.replayed[host], access,
                               str(case.lanes), str(batch)), self.hosts.environment)
            for host, access in zip(self.hosts.names, ("read", "write"))]
        try:
            for end in ends:
                end.stdin.write(frames + "\n")
                end.stdin.flush()
            if any(end.stdout.readline() != "ready\n" for end in ends):
                raise Failed("the replay of the mappings did not begin")
            for end in ends:
                end.stdin.write("go\n")
                end.stdin.flush()
            return max(int(end.communicate(timeout=60)[0]) for end in ends) / 1e6
        finally:
            for end in ends:
                end.kill()
                end.wait()

    def turn(self, case):
        bout = Bout("pause", "random", True, case.lanes, ())
        events, _ = self.xmigrate.move(bout, "off", self.hosts, ("--max-rounds", "2"))
        self.hosts.moved()
        self.hosts.xensim("pause", self.hosts.names[0], GUEST)
        replay_ms = self.replay(case)
        self.hosts.xensim("unpause", self.hosts.names[0], GUEST)
        return turn_of(events, replay_ms)

    def take_turn(self, case):
        try:
            if not self.hosts:
                self.open_hosts()
            self.have_guest(case)
            return self.turn(case)
        except Failed:
            self.close_hosts()
            raise

    def close_hosts(self):
        super().close_hosts()
        self.guest = None


COLUMNS = ("guest", "left", "", "lanes", "suspend", "CLEAN", "pages", "state", "receiver",
           "libxl", "hand-off", "whole ms", "replay alone", "goal")


def allowed_ms(turn):
    return GOAL_MS + turn.replay_ms


def verdict(case, turns):
    """Of a case with a goal: the median of what each turn was over what it may."""
    if not case.has_goal():
        return ""
    over_ms = median(t.whole_ms - allowed_ms(t) for t in turns)
    return "met" if over_ms <= 0 else "NOT MET"


def row(case, turns):
    parts = [f"{median(t.parts_ms[i] for t in turns):.1f}" for i in range(len(PARTS))]
    replay = f"{median(t.replay_ms for t in turns):.1f}" if case.apart else ""
    return (case.type, f"{median(t.pages for t in turns):,.0f}", case.where(), str(case.lanes),
            *parts, f"{median(t.whole_ms for t in turns):.1f}", replay, verdict(case, turns))


def last_line(found):
    """Of [(case, turns)], turns empty for a case that failed: each goal, and whether it is met."""
    said = [f"{case.name()}: {verdict(case, turns) if turns else 'FAILED'}"
            for case, turns in found if case.has_goal() or not turns]
    return (f"goal, {GOAL_PAGES:,} pages and {VCPUS} vCPUs: {GOAL_MS} ms, and the replay beside "
            "where they are scattered: " + "; ".join(said))


def all_met(found):
    return bool(found) and all(turns and verdict(case, turns) != "NOT MET"
                               for case, turns in found)


def parse(argv):
    p = argparse.ArgumentParser(
        prog="bench-pause",
        description="Where the pause of a guest on xensim goes, medians in ms. Ends with 0 if "
                    "every goal is met. Results: pause.json in the build directory.")
    p.add_argument("words", nargs="*", metavar="WORD",
                   help="only cases whose name has one of them, such as 'pv ' or '1,000 pages'")
    p.add_argument("--quick", action="store_true", help="the chief cases, within a minute")
    p.add_argument("--turns", type=int, metavar="N",
                   help=f"of each case ({TURNS}; {QUICK_TURNS} with --quick)")
    p.add_argument("--build", default="build", metavar="DIR")
    p.add_argument("--output", metavar="DIR", help="for the results (the build directory)")
    return p.parse_args(argv[1:])


def measure_all(bench, cases, turns):
    """Those of one guest take turns, so that they are measured under the same load."""
    found = {case: [] for case in cases}
    guests = list(dict.fromkeys((c.type, c.pages, c.apart) for c in cases))
    for guest in guests:
        alike = [c for c in cases if (c.type, c.pages, c.apart) == guest]
        for _ in range(turns):
            for case in random.sample(alike, len(alike)):
                try:
                    found[case].append(bench.take_turn(case))
                except Failed as e:
                    print(f"failed: {case.name()}: {e}", flush=True)
        print(as_table([row(c, found[c]) for c in alike if found[c]], COLUMNS, left=3), flush=True)
    return list(found.items())


def main(argv):
    options = parse(argv)
    cases = [c for c in TABLE if (c.quick() or not options.quick) and
             (not options.words or any(w in c.name() for w in options.words))]
    build = os.path.abspath(options.build)
    turns = options.turns or (QUICK_TURNS if options.quick else TURNS)
    found = measured(lambda: Bench(build), "", lambda bench: measure_all(bench, cases, turns))
    if found is None:
        return 130
    print(as_table([row(c, t) for c, t in found if t], COLUMNS, left=3))
    with open(f"{options.output or build}/pause.json", "w", encoding="utf-8") as f:
        json.dump([dict(asdict(c), turns=[asdict(t) for t in turns]) for c, turns in found], f,
                  indent=1)
    print(f"load of the last minute {os.getloadavg()[0]:.1f}, this benchmark's own included")
    print(last_line(found))
    return 0 if all_met(found) else 1
