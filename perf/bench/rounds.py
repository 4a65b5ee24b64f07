"""What a round costs when the guest is huge and few of its pages are dirty.

A guest of 2 GiB whose address space is as large as said writes the same 1000 pages all the time:
beyond reading the bitmap, a round's cost must not grow with the address space.
"""
import json
from statistics import median

from .hosts import GUEST, Hosts
from .process import Failed, run

SPACES = ("8G", "64G", "256G", "1T")
DIRTY_PAGES = 1000
ROUNDS = 20
COLUMNS = ("address space", "rounds", "pages a round", "ms a round", "of it CLEAN, ms",
           "us a page")
TITLE = f"Rounds of a guest that writes the same {DIRTY_PAGES} pages"


def measure(bench):
    """(title, columns, rows)"""
    hosts = Hosts(bench.build, bench.work, "", "2G")
    bench.hosts = hosts
    trace = bench.work.path("trace")
    with open(trace, "w", encoding="ascii") as f:
        # Apart from each other, as they are in life.
        f.writelines(f"{1000 + 257 * i}\n" for i in range(DIRTY_PAGES))
    rows = []
    for space in SPACES:
        try:
            rows.append(row(bench, hosts, space, trace))
        except Failed as e:
            print(f"failed: rounds {space}: {e}", flush=True)
            bench.failures += 1
        hosts.drop_guest()
    bench.close_hosts()
    return TITLE, COLUMNS, rows


def row(bench, hosts, space, trace):
    hosts.xensim("create", hosts.names[0], "--type", "pvh", "--memory", "2G", "--address-space",
                 space, "--dirty", "max", "--pattern", f"file:{trace}", "--content", "random=100",
                 "--name", GUEST)
    player = bench.players["xmigrate"]
    listener, port = player.listen(hosts, ["--insecure"])
    said = run(hosts.xmigrate(hosts.names[0], "--live", f"127.0.0.1:{port}", GUEST, "--insecure",
                              "--json", "--lanes", "2", "--no-compress", "--max-downtime", "1us",
                              "--max-rounds", str(ROUNDS)), env=hosts.environment)
    listener.terminate()
    listener.wait(20)
    found = [json.loads(line) for line in said.splitlines()]
    found = [e for e in found if e["event"] == "round" and not e["last"] and e["round"] > 1]
    if not found:
        raise Failed("no rounds beside the first and the last")
    ms = median(e["duration_ns"] for e in found) / 1e6
    pages = median(e["pages"] for e in found)
    return (space, str(len(found)), f"{pages:.0f}", f"{ms:.2f}",
            f"{median(e['clean_ns'] for e in found) / 1e6:.2f}", f"{ms * 1000 / pages:.2f}")
