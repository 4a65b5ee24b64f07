# SPDX-License-Identifier: MIT
"""Checkpoints of a guest on xensim into files in memory, beside stock xl's, in turns.

Each turn writes the same guest by one way after the other, or restores it: what swings on a shared machine
swings for neighbours alike. Files are in memory, and so is the journal, so that no disk is measured. What is timed is a
whole command, from its start to its end. Ours reads the file again, verifies it and has it synced before it gets
its name, and keeps a journal; stock's does none of that, and neither does zstd behind it. In memory a sync costs
nothing: on a disk stock's would be over sooner, because its file is not on the disk yet.
"""
import argparse
import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass
from statistics import median

from .cases import CONTENTS, size_bytes
from .hosts import GUEST, MIB, Hosts, Stage
from .main import measured
from .process import Failed, Unavailable, run
from .report import as_table

SIZE, QUICK_SIZE, TURNS, QUICK_TURNS, LIMIT_S = "1G", "256M", 7, 3, 300
WRITTEN_SHARE, WRITES_EACH = 0.02, 4  # of a guest that writes; so often a second each of these pages
STOCK = "xen-utils/usr/lib/xen-4.17/bin"

# What is wanted: of which way, beside which other, at least how many times as fast, and how large at most.
GOALS = (
    ("write", "compact", "stock | zstd -1 -T0", 1.5, 1.0),
    ("write", "compact none", "stock", 1.0, None),
    ("write", "default", "stock", 1.0, None),
    ("restore", "compact none", "stock", 1.0, None),
    ("restore", "default", "stock", 1.0, None),
)
INCREMENTAL_SHARE = 0.08  # of a full one's bytes


@dataclass(frozen=True)
class Turn:
    what: str  # write, restore, incremental
    way: str
    seconds: float
    file_bytes: int


class Bench(Stage):
    def __init__(self, build, size):
        super().__init__(build)
        self.size = size
        self.stock = f"{build}/{STOCK}"
        if not os.access(f"{self.stock}/xl", os.X_OK):
            raise Unavailable("xl is not there: make stock-helper")

    def file(self, name):
        return os.path.join(self.work.memory(pages="never"), name)

    def open(self, *writes):
        self.close_hosts()
        self.hosts = Hosts(self.build, self.work, "", self.size, guests=2)
        self.hosts.environment["XMIGRATE_RUN_DIR"] = self.file("run")
        os.makedirs(self.file("run"), mode=0o700, exist_ok=True)
        self.hosts.xensim("create", "a", "--type", "pvh", "--memory", self.size, "--vcpus", "2",
                          "--content", CONTENTS["mixed"], "--name", GUEST,
                          *(writes or ("--dirty", "0")))

    # Ways to write: each leaves the guest running.

    def ours(self, *words):
        run(self.hosts.program("a", f"{self.build}/xmigrate", *words), seconds=LIMIT_S,
            env=self.hosts.environment)

    def xl(self, *words, **more):
        environment = dict(self.hosts.environment, LIBXL_SAVE_HELPER=f"{self.stock}/libxl-save-helper")
        run(self.hosts.program("a", f"{self.stock}/xl", *words), seconds=LIMIT_S, env=environment,
            **more)

    def write_compact(self, to):
        self.ours("--checkpoint", to, GUEST, "--compact")

    def write_compact_none(self, to):
        self.ours("--checkpoint", to, GUEST, "--compact", "--compress", "none")

    def write_default(self, to):
        self.ours("--checkpoint", to, GUEST)

    def write_stock(self, to):
        self.xl("save", "-c", GUEST, to)

    def write_stock_zstd(self, to):
        fifo = self.file("fifo")
        if not os.path.exists(fifo):
            os.mkfifo(fifo)
        with open(to, "wb") as out:
            zstd = subprocess.Popen(["zstd", "-q", "-1", "-T0", "-c", fifo], stdout=out)
            try:
                self.xl("save", "-c", GUEST, fifo)
                if zstd.wait(timeout=LIMIT_S):
                    raise Failed("zstd failed")
            finally:
                zstd.kill()
                zstd.wait()

    WRITES = {
        "compact": write_compact,
        "stock | zstd -1 -T0": write_stock_zstd,
        "compact none": write_compact_none,
        "default": write_default,
        "stock": write_stock,
    }

    # The guest is gone before, and is there again afterwards, paused.

    def restore_ours(self, file):
        self.ours("--restore", file, "--paused", "--disks-as-they-are")

    def restore_stock(self, file):
        self.xl("restore", "-e", "-p", file)

    RESTORES = {"compact": restore_ours, "compact none": restore_ours, "default": restore_ours,
                "stock": restore_stock}

    def touch_memory(self):
        """Of a virtual machine's memory, what its host has to find first costs ten times as much to
        write to: that is not left to whichever way comes by it."""
        path = self.file("touched")
        with open(path, "wb") as f:
            for _ in range(size_bytes(self.size) // MIB):
                f.write(bytes(MIB))
        os.unlink(path)

    def timed(self, what, way, action, file):
        self.touch_memory()
        begun = time.monotonic()
        action(self, file)
        return Turn(what, way, time.monotonic() - begun, os.stat(file).st_size)

    def turn(self):
        found, files = [], {}
        for number, (way, action) in enumerate(self.WRITES.items()):
            files[way] = self.file(f"written.{number}")
            found.append(self.timed("write", way, action, files[way]))
        for way, action in self.RESTORES.items():
            self.hosts.xensim("destroy", "a", GUEST)
            found.append(self.timed("restore", way, action, files[way]))
            self.hosts.xensim("verify", "a", GUEST)
        self.hosts.xensim("unpause", "a", GUEST)
        for file in files.values():
            os.unlink(file)
        return found

    def incremental(self):
        """Of a guest that has written to a share of its pages in between."""
        pages = int(size_bytes(self.size) // 4096 * WRITTEN_SHARE)
        trace = self.work.path("trace")
        step = max(1, size_bytes(self.size) // 4096 // 2 // max(1, pages // 2) - 1)
        with open(trace, "w", encoding="ascii") as f:  # each of two vCPUs in its part of memory
            f.writelines(f"{i * step}\n" for i in range(pages // 2))
        self.open("--dirty", str(pages * WRITES_EACH), "--pattern", f"file:{trace}")
        time.sleep(2 / WRITES_EACH)
        full, child = self.file("full"), self.file("child")
        found = [self.timed("incremental", "full", Bench.write_compact, full)]
        time.sleep(2 / WRITES_EACH)

        def write(bench, to):
            bench.ours("--checkpoint", to, GUEST, "--compact", "--parent", full)

        found.append(self.timed("incremental", "child", write, child))
        os.unlink(full)
        os.unlink(child)
        return found


def of(turns, what, way):
    return [t for t in turns if (t.what, t.way) == (what, way)]


def judge(turns):
    """(text, wanted, measured, met) for each goal."""
    for what, ours, theirs, faster, larger in GOALS:
        pairs = list(zip(of(turns, what, ours), of(turns, what, theirs)))
        if not pairs:
            yield f"{what}: {ours} beside {theirs}", "", "not measured", False
            continue
        speed = median(b.seconds / a.seconds for a, b in pairs)
        yield f"{what}: {ours} beside {theirs}, times as fast", f">= {faster:.2f}", f"{speed:.2f}", speed >= faster
        if larger:
            size = median(a.file_bytes / b.file_bytes for a, b in pairs)
            yield f"{what}: {ours} beside {theirs}, bytes", f"<= {larger:.2f}", f"{size:.3f}", size <= larger
    pairs = list(zip(of(turns, "incremental", "child"), of(turns, "incremental", "full")))
    if pairs:
        share = median(a.file_bytes / b.file_bytes for a, b in pairs)
        yield (f"incremental after {WRITTEN_SHARE:.0%} were written, share of a full one's bytes",
               f"<= {INCREMENTAL_SHARE:.2f}", f"{share:.3f}", share <= INCREMENTAL_SHARE)


def rows(turns, size):
    gb = size_bytes(size) / 1e9
    for what, way in dict.fromkeys((t.what, t.way) for t in turns):
        mine = of(turns, what, way)
        seconds = median(t.seconds for t in mine)
        yield (what, way, f"{seconds:.2f}", f"{gb / seconds:.2f}",
               f"{median(t.file_bytes for t in mine) / 1e6:.1f}", str(len(mine)))


def measure(bench, turns):
    found = []
    bench.open()
    for _ in range(turns):
        found += bench.turn()
    found += bench.incremental()
    return found


def parse(argv):
    p = argparse.ArgumentParser(
        prog="bench-checkpoint",
        description="How fast a guest on xensim is written to files and restored, beside stock xl, "
                    "and how large the files are; ours are verified and synced, stock's are not. "
                    "Ends with 0 if every goal is met. Results: checkpoint.json in the build "
                    "directory.")
    p.add_argument("--quick", action="store_true", help=f"a guest of {QUICK_SIZE}, {QUICK_TURNS} turns")
    p.add_argument("--turns", type=int, metavar="N", help=f"({TURNS})")
    p.add_argument("--size", metavar="SIZE", help=f"of the guest ({SIZE})")
    p.add_argument("--build", default="build", metavar="DIR")
    p.add_argument("--output", metavar="DIR", help="for the results (the build directory)")
    return p.parse_args(argv[1:])


def main(argv):
    options = parse(argv)
    build = os.path.abspath(options.build)
    size = options.size or (QUICK_SIZE if options.quick else SIZE)
    turns = options.turns or (QUICK_TURNS if options.quick else TURNS)
    try:
        found = measured(lambda: Bench(build, size), "", lambda bench: measure(bench, turns))
    except (Failed, Unavailable) as e:
        print(f"failed: {e}")
        return 1
    if found is None:
        return 130
    print(as_table(list(rows(found, size)), ("", "way", "s", "GB/s", "MB", "turns"), left=2))
    goals = list(judge(found))
    print(as_table([(*g[:3], "met" if g[3] else "NOT MET") for g in goals],
                   ("goal", "wanted", "measured", ""), left=1))
    with open(f"{options.output or build}/checkpoint.json", "w", encoding="utf-8") as f:
        json.dump([asdict(t) for t in found], f, indent=1)
    print(f"load of the last minute {os.getloadavg()[0]:.1f}, this benchmark's own included")
    return 0 if all(g[3] for g in goals) else 1
