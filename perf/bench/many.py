# SPDX-License-Identifier: MIT
"""Many guests that leave one host at once: how fast all of them together, how long each stands
still beside what was said, and how many bytes each takes beside one that leaves alone.

All moves begin within a moment, as for an evacuation, each by a command of its own. A link of
1 Gb/s is one for all of them (tests/link/emulate.c).
"""
import argparse
import json
import os
import subprocess
import threading
from dataclasses import asdict, dataclass
from statistics import mean

from .cases import CONTENTS, size_bytes
from .figures import GB
from .hosts import Hosts
from .main import measured
from .players import MOVE_SECONDS
from .process import Failed, Others, end_children
from .report import as_table
from .wan import Case as LinkCase
from .wan import FarHosts, LinkedStage

SIZE, CONTENT, TYPE, LANES = "256M", "mixed", "pvh", 2
COUNTS, RATES, LINKS = (1, 4, 8, 16), (0, 5000, 20000), ("", "1G")
QUICK_COUNTS = (1, 8)
MOST_BYTES, MOST_OVER = 1.5, 0.2  # to one alone; of what was said
SAMPLE_S = 0.2


@dataclass(frozen=True)
class Case:
    count: int
    dirty: int  # pages a second, each
    link: str

    def name(self):
        rate = f"{self.dirty:,} pages/s" if self.dirty else "idle"
        return f"{self.count}, {rate}{', 1 Gb/s' if self.link else ''}"


@dataclass(frozen=True)
class Guest:
    pause_ms: float
    said_ms: float
    bytes: int
    seconds: float  # from the command to its end, with what it waited
    rounds: int


@dataclass(frozen=True)
class Turn:
    seconds: float  # until the last one runs there
    guests: tuple
    memory_mib: float  # of all of xmigrate's processes at both ends, at most
    others: float

    def gb_per_s(self):
        return len(self.guests) * size_bytes(SIZE) / GB / self.seconds

    def worst(self):
        return max(self.guests, key=lambda g: g.pause_ms)

    def most_over(self):
        """How far a pause was beyond what had been said of it, as a share; below 0: none was."""
        return max(g.pause_ms / g.said_ms - 1 for g in self.guests)

    def fairness(self):
        """The quickest move's time as a share of the slowest's."""
        return min(g.seconds for g in self.guests) / max(g.seconds for g in self.guests)


class Memory(threading.Thread):
    """The most that processes of xmigrate's have of their own."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most_kib = 0
        self.over = threading.Event()

    def sample(self):
        kib = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
                    lines = dict(line.split(":", 1) for line in f)
            except (OSError, ValueError):
                continue
            if lines.get("Name", "").strip().startswith("xmigrate"):
                kib += int(lines.get("RssAnon", "0 kB").split()[0])
        self.most_kib = max(self.most_kib, kib)

    def run(self):
        while not self.over.wait(SAMPLE_S):
            self.sample()


def guest_of(events, seconds):
    done = events[-1]
    if done["event"] != "done":
        raise Failed(f"a move ended with {done['event']}")
    return Guest(done["downtime_ns"] / 1e6, done["predicted_downtime_ns"] / 1e6, done["wire_bytes"],
                 seconds, done["rounds"])


class Bench(LinkedStage):
    def begin(self, i, port):
        path = self.work.path(f"move-{i}")
        with open(path, "w", encoding="utf-8") as out:
            command = self.hosts.xmigrate(
                self.hosts.names[0], "--live", f"{self.hosts.address}:{port}", f"g{i}", "--json",
                "--quiet", "--lanes", str(LANES), "--compress", "auto")
            return path, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.DEVNULL, env=self.hosts.environment)

    def move_all(self, case, port):
        moves = [self.begin(i, port) for i in range(case.count)]
        found = []
        for path, process in moves:
            process.wait(MOVE_SECONDS)
            with open(path, encoding="utf-8") as f:
                events = [json.loads(line) for line in f]
            if process.returncode or not events:
                raise Failed(f"a move ended with exit code {process.returncode}")
            found.append(guest_of(events, events[-1]["elapsed_ns"] / 1e9))
        return found

    def turn(self, case):
        hosts = self.hosts
        hosts.drop_guest()
        for i in range(case.count):
            hosts.xensim("create", hosts.names[0], "--type", TYPE, "--memory", SIZE, "--vcpus", "1",
                         "--dirty", str(case.dirty), "--content", CONTENTS[CONTENT], "--name", f"g{i}")
        listener, port = self.xmigrate.listen(hosts, [])
        memory, others = Memory(), Others(self.daemons)
        memory.start()
        guests = self.move_all(case, port)
        memory.over.set()
        memory.join()
        listener.terminate()
        listener.wait(20)
        for i in range(case.count):
            hosts.xensim("verify", hosts.names[1], f"g{i}")
        end_children(keep=self.daemons())
        cores = others.cores()
        hosts.moved()
        return Turn(max(g.seconds for g in guests), tuple(guests), memory.most_kib / 1024, cores)

    def measure(self, case, turns):
        """New hosts for each case: nothing was learnt but in its own turns, of which the first does
        not count where there are several."""
        kind = FarHosts if case.link else Hosts
        self.hosts = kind(self.build, self.work, "", SIZE, guests=case.count)
        try:
            if case.link:
                self.open_link(LinkCase(1000, 1, 0, LANES, 0))
            return [self.turn(case) for _ in range(turns + 1)][1:]
        finally:
            self.close_hosts()
            self.close_link()


COLUMNS = ("guests", "GB/s", "seconds", "worst pause ms", "said ms", "most over", "MB a guest",
           "to one alone", "fairness", "memory MiB", "others", "")


def middle(turns):
    """The turn that took the median time."""
    return sorted(turns, key=lambda t: t.seconds)[len(turns) // 2]


def bytes_to_alone(turn, alone):
    return mean(g.bytes for g in turn.guests) / mean(g.bytes for g in alone.guests)


def missed(turn, alone):
    found = []
    if turn.most_over() > MOST_OVER:
        found.append("pause as said")
    if alone and bytes_to_alone(turn, alone) > MOST_BYTES:
        found.append("bytes")
    return found


def verdict(turn, alone):
    found = missed(turn, alone)
    return f"NOT MET: {', '.join(found)}" if found else "met"


def row(case, turn, alone):
    worst = turn.worst()
    return (case.name(), f"{turn.gb_per_s():.2f}", f"{turn.seconds:.2f}", f"{worst.pause_ms:.0f}",
            f"{worst.said_ms:.0f}", f"{turn.most_over() * 100:+.0f} %",
            f"{mean(g.bytes for g in turn.guests) / 1e6:.0f}",
            f"{bytes_to_alone(turn, alone):.2f}" if alone else "", f"{turn.fairness():.2f}",
            f"{turn.memory_mib:.0f}", f"{turn.others:.1f}", verdict(turn, alone))


def last_line(found):
    """Of [(case, turn, alone)], turn None for a case that failed."""
    said = [f"{case.name()}: {verdict(turn, alone) if turn else 'FAILED'}"
            for case, turn, alone in found]
    return (f"goals pauses at most {MOST_OVER:.0%} beyond what was said, at most {MOST_BYTES} times the "
            f"bytes of one alone: " + "; ".join(said))


def all_met(found):
    return bool(found) and all(turn and not missed(turn, alone) for _, turn, alone in found)


def measure_all(bench, cases, turns):
    found, alone = [], {}
    for case in cases:
        turn = None
        try:
            turn = middle(bench.measure(case, turns))
        except Failed as e:
            print(f"failed: {case.name()}: {e}", flush=True)
        if turn and case.count == 1:
            alone[case.dirty, case.link] = turn
        found.append((case, turn, alone.get((case.dirty, case.link))))
        if turn:
            print(as_table([row(*found[-1])], COLUMNS, left=1), flush=True)
    return found


def parse(argv):
    p = argparse.ArgumentParser(
        prog="bench-many",
        description=f"Guests of {SIZE} that leave one host at once. Ends with 0 if every goal is "
                    "met. Results: many.json in the build directory. Links take root.")
    p.add_argument("words", nargs="*", metavar="WORD",
                   help="only cases whose name has one of them, such as '8, 20,000'")
    p.add_argument("--quick", action="store_true", help="one and eight, without a link")
    p.add_argument("--turns", type=int, default=1, metavar="N", help="of each case, after one that "
                   "does not count (1)")
    p.add_argument("--build", default="build", metavar="DIR")
    return p.parse_args(argv[1:])


def chosen(options):
    counts = QUICK_COUNTS if options.quick else COUNTS
    links = ("",) if options.quick else LINKS
    cases = [Case(n, dirty, link) for link in links for dirty in RATES for n in counts]
    return [c for c in cases if not options.words or any(w in c.name() for w in options.words)]


def main(argv):
    options = parse(argv)
    build = os.path.abspath(options.build)
    found = measured(lambda: Bench(build), "", lambda bench: measure_all(
        bench, chosen(options), options.turns))
    if found is None:
        return 130
    print(as_table([row(*f) for f in found if f[1]], COLUMNS, left=1))
    with open(f"{build}/many.json", "w", encoding="utf-8") as f:
        json.dump([dict(asdict(case), turn=turn and asdict(turn)) for case, turn, _ in found], f,
                  indent=1)
    print(last_line(found))
    return 0 if all_met(found) else 1
