# SPDX-License-Identifier: MIT
"""Options, and the bouts."""
import argparse
import contextlib
import os
import re
import shlex
import signal
import sys
import time
from dataclasses import replace
from fnmatch import fnmatch

from machine import machine

from . import goals, report, rounds
from .cases import PARTS, TABLE, grouped, memory_needed, quickly, small, split_player
from .figures import Result
from .hosts import Hosts, Stage
from .players import PLAYERS
from .process import Failed, Others, Unavailable, become_reaper

MIN_TURNS, QUICK_TURNS = 5, 3
LIMIT_S, QUICK_LIMIT_S = 43 * 60, 160
SHARES = 2  # of the time left that a bout may take, when all those after it get one
FLOORS = ("memory", "seal", "open", "tcp", "tls")


def parse(argv):
    p = argparse.ArgumentParser(
        prog="xmigrate-bench",
        description="How fast xmigrate is, beside what this machine can do and what others do.",
        epilog=f"WORD is a part ({', '.join(PARTS)}) or a case as --list shows it; * stands for "
               "anything. Without any, everything. Results: bench.json, bench.csv and bench.html "
               "in the build directory.")
    p.add_argument("words", nargs="*", metavar="WORD", help="only these parts or cases")
    p.add_argument("--quick", action="store_true", help="the chief cases, within 3 minutes")
    p.add_argument("--list", action="store_true", help="say what there is to measure, and end")
    p.add_argument("--turns", type=int, metavar="N",
                   help=f"of each player ({MIN_TURNS}; {QUICK_TURNS} with --quick)")
    p.add_argument("--no-peers", action="store_true", help="xmigrate and the floor alone")
    p.add_argument("--size", metavar="SIZE",
                   help="of all guests, such as 64M: to see that it works, not how fast")
    p.add_argument("--output", metavar="DIR", help="for the results (the build directory)")
    return p.parse_args(argv[1:])


def wanted(name, part, options):
    words = options.words
    return not words or part in words or any(fnmatch(name, w) for w in words)


def chosen_bouts(options):
    bouts = [b for b in TABLE if wanted(b.case(), b.part, options)]
    if options.quick:
        bouts = [quickly(b) for b in bouts if b.quick]
    if options.size:
        bouts = [small(b, options.size) for b in bouts]
    return bouts


class Bench(Stage):
    """What players share: the work directory and the hosts that are up."""

    def __init__(self, options, top, build):
        super().__init__(build)
        self.top = top
        self.turns = options.turns or (QUICK_TURNS if options.quick else MIN_TURNS)
        self.with_peers = not options.no_peers
        self.end = time.monotonic() + (QUICK_LIMIT_S if options.quick else LIMIT_S)
        self.players = {who: player(self) for who, player in PLAYERS.items()}
        self.failures = 0

    def ready_hosts(self, bout):
        """self.hosts are two hosts with that guest on one of them."""
        if not self.hosts or (self.hosts.place, self.hosts.size) != (bout.place, bout.size):
            self.close_hosts()
            self.hosts = Hosts(self.build, self.work, bout.place, bout.size)
        self.hosts.have_guest(bout.content, bout.type)

    def seconds_left(self):
        return self.end - time.monotonic()

    def taking_part(self, bout):
        """[(bout, case, who, codec)], the floor first; says who cannot, and why."""
        found = [(bout, bout.case(), "floor", "off")]
        for player in bout.players:
            who, codec = split_player(player)
            if who != "xmigrate" and not self.with_peers:
                continue
            try:
                self.players[who].check(bout, codec)
                found.append((bout, bout.case(codec), who, codec))
            except Unavailable as e:
                print(f"skipped: {bout.case(codec)} {who}: {e}", flush=True)
        return found

    def take_turns(self, bouts, seconds):
        """Results, each bout's beginning with its floor. Who failed once is out; one turn is taken
        in any case, a further one only if it will end in time."""
        taking_part = [p for bout in bouts for p in self.taking_part(bout)]
        turns = {p[1:3]: [] for p in taking_part}
        out = set()
        end, longest = time.monotonic() + seconds, 0.0
        for i in range(self.turns):
            if i and time.monotonic() + longest > end:
                print(f"skipped: {names(bouts)}: {self.turns - i} of {self.turns} turns: "
                      "out of time")
                break
            begin = time.monotonic()
            for bout, case, who, codec in taking_part:
                turns[case, who].append(None)
                if (case, who) in out:
                    continue
                try:
                    # Before the floor, not between it and whoever comes first.
                    self.ready_hosts(bout)
                    others = Others(self.daemons)
                    turn = self.players[who].turn(bout, codec)
                    turns[case, who][-1] = replace(turn, others=others.cores())
                except Failed as e:
                    print(f"failed: {case} {who}: {e}", flush=True)
                    out.add((case, who))
                    self.failures += 1
                    self.close_hosts()
            longest = max(longest, time.monotonic() - begin)
        results = [Result(case, who, tuple(turns[case, who]), tuple(turns[bout.case(), "floor"]))
                   for bout, case, who, _ in taking_part]
        return [r for r in results if r.done]

    def settings(self, bouts):
        """How those who take part besides us are set up."""
        found = {}
        for bout in bouts:
            for player in bout.players if self.with_peers else ():
                who, codec = split_player(player)
                with contextlib.suppress(Unavailable):
                    self.players[who].check(bout, codec)
                    found[who] = self.players[who].settings()
        return "\n".join(words for words in found.values() if words)

    def floors(self, lanes=1, size="2G"):
        """Each floor by itself."""
        names = {"tcp": "plain"}
        return [Result(f"{names.get(what, what)}/{lanes}", "floor",
                       tuple(self.players["floor"].measure(what, lanes, size)
                             for _ in range(self.turns)))
                for what in FLOORS]


def names(bouts):
    return ", ".join(b.case() for b in bouts)


def show(results):
    print(report.as_table(report.table_rows(results)), flush=True)


def interrupted(*_):
    raise KeyboardInterrupt


def measured(make_bench, heading, measure):
    """What measure() finds with a bench, which is closed again; None if it was interrupted."""
    signal.signal(signal.SIGTERM, interrupted)
    become_reaper()
    print(f"{machine()}\n{heading}", flush=True)
    bench = make_bench()
    try:
        return measure(bench)
    except KeyboardInterrupt:
        return None
    finally:
        bench.close()


def measure(bench, options, results, more):
    """Appends to results, and further tables to more, as they come."""
    if not options.quick and wanted("floors", "floors", options):
        results += bench.floors(size=options.size or "2G")
        show(results)
    chosen = chosen_bouts(options)
    left = len(chosen)
    for bouts in grouped(chosen):
        if bench.seconds_left() < 0:
            print(f"skipped: {names(bouts)}: out of time", flush=True)
            continue
        # What others do not need of their share is for those that follow.
        share = SHARES * len(bouts) / (left + SHARES - 1)
        left -= len(bouts)
        found = bench.take_turns(bouts, min(1, share) * bench.seconds_left())
        show(found)
        results += found
    bench.close_hosts()
    if not options.quick and not options.size and wanted("rounds", "rounds", options):
        more.append(rounds.measure(bench))
        print(f"{more[-1][0]}\n{report.as_table(more[-1][2], more[-1][1], left=1)}", flush=True)


def check_memory(options):
    """Too little would end in some process being killed, and in figures of swapping."""
    with open("/proc/meminfo", encoding="utf-8") as f:
        found = re.search(r"^MemAvailable:\s+(\d+)", f.read(), re.M)
    needed = memory_needed(chosen_bouts(options))
    if found and int(found[1]) << 10 < needed:
        raise Unavailable(f"it needs {needed / (1 << 30):.1f} GiB of free memory; there are "
                          f"{int(found[1]) / (1 << 20):.1f}")


def save(where, results, machine_text, command, more, goal_rows):
    """Everything that was measured, for programs and for people."""
    for name, text in (("json", report.as_json(results)), ("csv", report.as_csv(results)),
                       ("html", report.as_html(results, machine_text, command, more, goal_rows))):
        with open(f"{where}/bench.{name}", "w", encoding="utf-8") as f:
            f.write(text)
    print(f"{where}/bench.json, bench.csv, bench.html")


def main(argv):
    options = parse(argv)
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    build = os.path.dirname(os.path.abspath(argv[0]))
    if options.list:
        for bout in chosen_bouts(options):
            print(f"{bout.part:9} {bout.case():34} {' '.join(bout.players)}")
        return 0
    if not chosen_bouts(options) and not {"floors", "rounds"} & set(options.words):
        print("xmigrate-bench: nothing of that name; see --list", file=sys.stderr)
        return 1
    if not os.access(f"{build}/perf/floor", os.X_OK):
        print("xmigrate-bench: run it as build/xmigrate-bench, after `make perf`", file=sys.stderr)
        return 1
    command = shlex.join([os.path.relpath(argv[0])] + argv[1:])
    signal.signal(signal.SIGTERM, interrupted)
    become_reaper()
    bench = Bench(options, top, build)
    machine_text = "\n".join([machine(), *filter(None, [bench.settings(chosen_bouts(options))])])
    print(f"{machine_text}\n{command}\n{report.LEGEND}\n", flush=True)
    results, more, goal_rows, code = [], [], [], 0
    try:
        check_memory(options)
        measure(bench, options, results, more)
    except (Failed, Unavailable) as e:
        print(f"xmigrate-bench: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was measured until now:")
        code = 130
    finally:
        bench.close()
    print(report.as_table(report.table_rows(results)))
    if not options.size:
        goal_rows = goals.rows(results)
        print(report.as_table(goal_rows, goals.COLUMNS, left=1))
    save(options.output or build, results, machine_text, command, more, goal_rows)
    return code or (1 if bench.failures else 0)
