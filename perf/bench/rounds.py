# SPDX-License-Identifier: MIT
"""What a round costs when the guest is huge and few of its pages are dirty.

A guest with little memory, spread over as large an address space as said, writes the same 1000
pages all the time: beyond reading the bitmap, a round's cost must not grow with the address space.
All rounds after the first count, the last one too: where further rounds would not help there is no
other. The bitmap is read before each of them.
"""
import json
from statistics import median

from .hosts import GUEST, Hosts
from .process import Failed, end_children, run

SPACES = ("8G", "64G", "256G", "1T")
SIZE = "256M"
MOVES = 3
DIRTY_PAGES, PAGES_APART = 1000, 50
DIRTY_PAGES_PER_S = 100_000
COLUMNS = ("address space", "rounds", "pages a round", "ms a round", "ms reading the bitmap")
TITLE = f"Rounds of a guest that writes the same {DIRTY_PAGES} pages"


def measure(bench):
    """(title, columns, rows)"""
    bench.hosts = Hosts(bench.build, bench.work, "", SIZE)
    trace = bench.work.path("trace")
    with open(trace, "w", encoding="ascii") as f:
        f.writelines(f"{PAGES_APART * i}\n" for i in range(DIRTY_PAGES))
    rows = []
    for space in SPACES:
        found = []
        try:
            for _ in range(min(bench.turns, MOVES)):
                found += move(bench, space, trace)
            rows.append(row(space, found))
        except Failed as e:
            print(f"failed: rounds {space}: {e}", flush=True)
            bench.failures += 1
    bench.close_hosts()
    return TITLE, COLUMNS, rows


def move(bench, space, trace):
    """All rounds of one migration."""
    hosts = bench.hosts
    hosts.drop_guest()
    hosts.xensim("create", hosts.names[0], "--type", "pvh", "--memory", SIZE, "--address-space",
                 space, "--dirty", str(DIRTY_PAGES_PER_S), "--pattern", f"file:{trace}",
                 "--content", "random=100", "--name", GUEST)
    listener, port = bench.players["xmigrate"].listen(hosts, ["--insecure"])
    said = run(hosts.xmigrate(hosts.names[0], "--live", f"127.0.0.1:{port}", GUEST, "--insecure",
                              "--json", "--lanes", "2", "--compress", "none",
                              "--max-downtime", "1us",
                              "--max-rounds", "10"), env=hosts.environment)
    listener.terminate()
    listener.wait(20)
    end_children(keep=hosts.daemons())
    events = [json.loads(line) for line in said.splitlines()]
    return [e for e in events if e["event"] == "round"]


def row(space, found):
    later = [e for e in found if e["round"] > 1]
    pages, sending_ns = (median(e[field] for e in later) for field in ("pages", "duration_ns"))
    reading_ns = median(e["clean_ns"] for e in found if not e["last"])  # what follows the round

    return (space, str(len(later)), f"{pages:.0f}", f"{sending_ns / 1e6:.2f}",
            f"{reading_ns / 1e6:.2f}")
