# SPDX-License-Identifier: MIT
"""Over long links: xmigrate and as many plain TCP connections take turns on an emulated one.

Both are measured from outside, as what arrives at the far end of the link: from a hundredth of the
guest's memory until 99 hundredths, so that neither the hand-shakes before nor the pause after are in
it; slow start is. The guest's memory is random, so as many bytes are sent as it has. The pause ends
where the guest starts: STARTED takes half a round trip back to the clock that measures it. Round
trips count from an RTT of 20 ms on, and whether the pause was what had been said from 100 ms on; below,
they are mostly this machine's own work. What is said is learnt, so each host's first move does not
count for that.
"""
import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from statistics import median

from .cases import Bout
from .hosts import GUEST, MIB, Hosts, Stage
from .main import measured
from .players import MOVE_SECONDS, Xmigrate
from .process import Failed, run, wait_until
from .report import as_table

FAR = "10.99.0.2"  # as tests/link/emulate.c says
GOAL = 0.95
MOST_TRIPS_BEFORE, MOST_TRIPS_PAUSE = 8, 2
LEAST_TRIP_MS = 20
MOST_SAID_OFF, LEAST_SAID_MS = 0.2, 100
TURNS, QUICK_TURNS = 5, 3
SKIPPED_SHARE = 0.01  # at either end


@dataclass(frozen=True)
class Case:
    mbit: int
    rtt_ms: int
    loss_percent: float
    lanes: int
    mib: int
    quick: bool = False

    def link(self):
        loss = f", {self.loss_percent} % loss" if self.loss_percent else ""
        return f"{self.mbit} Mb/s, {self.rtt_ms} ms{loss}"

    def name(self):
        return f"{self.link()}, {self.lanes} lane{'s' if self.lanes > 1 else ''}"


TABLE = (
    Case(1000, 1, 0, 1, 256),
    Case(1000, 1, 0, 8, 256),
    Case(1000, 20, 0, 1, 256, quick=True),
    Case(1000, 20, 0, 4, 256),
    Case(200, 20, 0.1, 1, 64, quick=True),
    Case(200, 20, 0.1, 4, 64),
    Case(200, 50, 0, 1, 64),
    Case(200, 75, 0, 1, 64),
    Case(200, 100, 0, 1, 64, quick=True),
    Case(200, 100, 0, 2, 64),
    Case(200, 100, 0, 4, 64, quick=True),
    Case(200, 100, 0, 8, 64),
    Case(200, 100, 0.1, 1, 64),
    Case(200, 200, 0, 1, 64),
    Case(200, 200, 0, 8, 64),
    Case(10, 20, 0, 2, 16),
    Case(10, 1000, 0, 1, 16),
    Case(10, 1000, 0, 4, 16),
)


@dataclass(frozen=True)
class Turn:
    """Mb/s of both; round trips of ours until its first page, and in the pause; how far that was
    from what had been said, as a share."""

    ours: float
    plain: float
    rtts_before: float
    rtts_pause: float
    said_off: float


def rate_mbit(samples, total_bytes):
    """Of samples [(ns, bytes since the begin)], as the text above says. None: too little came."""
    skipped = total_bytes * SKIPPED_SHARE
    first = next((s for s in samples if s[1] >= skipped), None)
    last = next((s for s in samples if s[1] >= total_bytes - skipped), None)
    if not last or last[0] == first[0]:
        return None
    return (last[1] - first[1]) * 8e3 / (last[0] - first[0])


class Link:
    """The emulator, while a case is measured."""

    def __init__(self, build, work, case):
        self.log = work.path("link.log")
        self.process = subprocess.Popen(
            [f"{build}/link/emulate", str(case.mbit), str(case.rtt_ms), str(case.loss_percent),
             self.log], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.networks = self.process.stdout.readline().split()
        if len(self.networks) != 2:
            raise Failed("the link could not be made; it takes root and /dev/net/tun")

    def samples(self):
        with open(self.log, encoding="ascii") as f:
            return [tuple(map(int, line.split()[:2])) for line in f if line.endswith("\n")]

    def measure(self, total_bytes, send):
        """(Mb/s, what send() returned)"""
        before = self.samples()
        begin = before[-1][1] if before else 0
        returned = send()
        rate = rate_mbit([(ns, n - begin) for ns, n in self.samples()[len(before):]], total_bytes)
        if not rate:
            raise Failed("not all of it came over the link")
        return rate, returned

    def close(self):
        self.process.kill()
        self.process.wait()


class FarHosts(Hosts):
    """The guest's host is at the near end of the link, the other at the far one."""

    address = FAR
    networks = None

    def program(self, host, *words):
        command = super().program(host, *words)
        if not self.networks:
            return command
        return ["nsenter", f"--net={self.networks[self.names.index(host)]}", *command]


class LinkedStage(Stage):
    """Its hosts have a link between them while it is open."""

    def __init__(self, build):
        super().__init__(build)
        self.link = None
        self.xmigrate = Xmigrate(self)

    def daemons(self):
        return super().daemons() + ([self.link.process.pid] if self.link else [])

    def open_link(self, case):
        self.link = Link(self.build, self.work, case)
        self.hosts.networks = self.link.networks

    def close_link(self):
        if self.link:
            self.link.close()
            self.link = None
        if self.hosts:
            self.hosts.networks = None

    def close_hosts(self):
        if not self.link:
            super().close_hosts()
        elif self.hosts:
            self.hosts.networks = None
            self.hosts.close()
            self.hosts = None  # and the link stays: end_children() would end it


class Bench(LinkedStage):
    def send_plain(self, case):
        run([f"{self.build}/perf/floor", "tcp", str(case.lanes), str(case.mib),
             *self.link.networks, FAR], seconds=MOVE_SECONDS)

    def move(self, case):
        bout = Bout("wan", "random", True, case.lanes, (), size=f"{case.mib}M")
        events, _ = self.xmigrate.move(bout, "auto", self.hosts)
        self.hosts.moved()
        return events

    def turn(self, case):
        plain, _ = self.link.measure(case.mib * MIB, lambda: self.send_plain(case))
        ours, events = self.link.measure(case.mib * MIB, lambda: self.move(case))
        first = next(e for e in events if e["event"] == "round")
        rtt_ns, done = case.rtt_ms * 1e6, events[-1]
        return Turn(ours, plain, (first["elapsed_ns"] - first["duration_ns"]) / rtt_ns,
                    done["downtime_ns"] / rtt_ns - 0.5,
                    done["predicted_downtime_ns"] / done["downtime_ns"] - 1)

    def ready_hosts(self, case):
        size = f"{case.mib}M"
        if self.hosts and self.hosts.size != size:
            self.close_hosts()
        if not self.hosts:
            self.hosts = FarHosts(self.build, self.work, "", size)
        self.hosts.have_guest("random", "pvh")

    def measure(self, case, turns):
        self.ready_hosts(case)
        self.open_link(case)
        try:
            return [self.turn(case) for _ in range(turns)]
        except Failed:
            self.close_hosts()
            raise
        finally:
            self.close_link()


COLUMNS = ("link", "lanes", "plain TCP Mb/s", "ours Mb/s", "ratio", "round trips before",
           "in the pause", "said", "")


def row(case, turns):
    """Of a case's turns; the ratio is the median of the turns' ratios."""
    ratio = median(t.ours / t.plain for t in turns)
    return (case.link(), str(case.lanes), f"{median(t.plain for t in turns):.1f}",
            f"{median(t.ours for t in turns):.1f}", f"{ratio:.2f}",
            f"{median(t.rtts_before for t in turns):.1f}",
            f"{median(t.rtts_pause for t in turns):.1f}",
            f"{median(said_off(turns)) * 100:+.0f} %", verdict(case, turns))


def said_off(turns):
    """Of the turns in which a host moved a guest that it had moved before."""
    return [t.said_off for t in turns[2:]] or [turns[-1].said_off]


def missed(case, turns):
    """What of its goals it does not reach, in words."""
    found = []
    if median(t.ours / t.plain for t in turns) < GOAL:
        found.append("speed")
    if case.rtt_ms >= LEAST_TRIP_MS:
        if median(t.rtts_before for t in turns) > MOST_TRIPS_BEFORE:
            found.append("round trips before")
        if median(t.rtts_pause for t in turns) > MOST_TRIPS_PAUSE:
            found.append("round trips in the pause")
    if case.rtt_ms >= LEAST_SAID_MS and \
            median(abs(off) for off in said_off(turns)) > MOST_SAID_OFF:
        found.append("pause as said")
    return found


def verdict(case, turns):
    found = missed(case, turns)
    return f"NOT MET: {', '.join(found)}" if found else "met"


def last_line(found):
    """Of [(case, turns)], turns None for a case that failed: each goal, and whether it is met."""
    said = [f"{case.name()}: {verdict(case, turns) if turns else 'FAILED'}"
            for case, turns in found]
    return (f"goals {GOAL} of plain TCP, <= {MOST_TRIPS_BEFORE} round trips before the first page, "
            f"<= {MOST_TRIPS_PAUSE} in the pause, said within {MOST_SAID_OFF:.0%}: " + "; ".join(said))


def all_met(found):
    return bool(found) and all(turns and not missed(case, turns) for case, turns in found)


def parse(argv):
    p = argparse.ArgumentParser(
        prog="bench-wan",
        description="xmigrate over emulated links beside as many plain TCP connections, as root. "
                    "Ends with 0 if every case reaches its goal. Results: wan.json in the build "
                    "directory.")
    p.add_argument("words", nargs="*", metavar="WORD",
                   help="only cases whose name has one of them, such as '100 ms'")
    p.add_argument("--quick", action="store_true", help="the chief cases, within 3 minutes")
    p.add_argument("--turns", type=int, metavar="N",
                   help=f"of each case ({TURNS}; {QUICK_TURNS} with --quick)")
    p.add_argument("--build", default="build", metavar="DIR")
    return p.parse_args(argv[1:])


def measure_all(bench, cases, turns):
    found = []
    for case in cases:
        try:
            found.append((case, bench.measure(case, turns)))
            print(as_table([row(*found[-1])], COLUMNS), flush=True)
        except Failed as e:
            print(f"failed: {case.name()}: {e}", flush=True)
            found.append((case, None))
    return found


def congestion_control():
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as f:
        return f.read().strip()


def main(argv):
    options = parse(argv)
    cases = [c for c in TABLE if (c.quick or not options.quick) and
             (not options.words or any(w in c.name() for w in options.words))]
    build = os.path.abspath(options.build)
    turns = options.turns or (QUICK_TURNS if options.quick else TURNS)
    found = measured(lambda: Bench(build), f"{congestion_control()}, a bounded queue of one BDP\n",
                     lambda bench: measure_all(bench, cases, turns))
    if found is None:
        return 130
    print(as_table([row(c, t) for c, t in found if t], COLUMNS))
    with open(f"{build}/wan.json", "w", encoding="utf-8") as f:
        json.dump([dict(asdict(c), turns=[asdict(t) for t in turns or []])
                   for c, turns in found], f, indent=1)
    print(last_line(found))
    return 0 if all_met(found) else 1
