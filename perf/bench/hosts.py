# SPDX-License-Identifier: MIT
"""Two simulated hosts and the guest that is moved between them.

The guest writes nothing: xensim's own CPU then is not in any figure, and every turn moves the
same pages. Machine memory is touched before, unless the destination is to be fresh.
"""
import os
import shutil
import time

from .cases import CONTENTS, size_bytes
from .process import Failed, Work, end_children, run

GUEST = "bench"
MIB = 1 << 20


class Hosts:
    address = "127.0.0.1"  # where the other one is

    def __init__(self, build, work, place, size, guests=1, options=()):
        self.build = build
        self.place = place
        self.size = size
        self.dir = work.path(f"hosts-{place or 'plain'}-{size}")
        self.environment = dict(os.environ, XENSIM_DIR=self.dir)
        self.environment.pop("XMIGRATE_RUN_DIR", None)
        self.environment["XMIGRATE_DEVICE_MODEL"] = f"{self.dir}/qemu"
        self.guests = guests  # of that size, that a host has room for
        self.options = options  # of xensim's hosts
        self.guest = None  # (content, type) of the one there is
        self.names = ["a", "b"]  # where the guest is, where it goes
        os.mkdir(self.dir)
        self.install_device_model()
        for name in self.names:
            self.start(name)
        self.introduce()

    def xensim(self, *words, seconds=120):
        return run([f"{self.build}/xensim", *words], seconds=seconds, env=self.environment)

    def program(self, host, *words):
        """A command line that runs a program there."""
        return [f"{self.build}/xensim", "run", host, "--", *words]

    def xmigrate(self, host, *words):
        return self.program(host, f"{self.build}/xmigrate", "--config-dir",
                            f"{self.dir}/etc-{host}", *words)

    def start(self, name):
        mem = self.guests * size_bytes(self.size) * 9 // 8 + (64 << 20)  # its page tables, and the host's own
        how = [*self.options, *(["--fragment", "100"] if self.place == "fragmented" else [])]
        if self.place != "fresh" or name == "a":
            how.append("--prealloc")
        self.xensim("host", name, "--mem", f"{mem // MIB}M", *how)

    def install_device_model(self):
        """What a destination wants to see before an HVM guest comes."""
        path = self.environment["XMIGRATE_DEVICE_MODEL"]
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\necho 'QEMU emulator version 7.2.0 (xensim)'\n")
        os.chmod(path, 0o755)

    def introduce(self):
        prints = {
            name: run(self.xmigrate(name, "--identity"), env=self.environment).strip()
            for name in self.names
        }
        for name, other in (("a", "b"), ("b", "a")):
            run(self.xmigrate(name, "--trust", prints[other], other), env=self.environment)

    def have_guest(self, content, kind):
        if self.guest == (content, kind):
            return
        self.drop_guest()
        self.xensim("create", self.names[0], "--type", kind, "--memory", self.size, "--vcpus", "1",
                    "--dirty", "0", "--content", CONTENTS[content], "--name", GUEST)
        self.guest = (content, kind)

    def drop_guest(self):
        """Wherever it is: a move that failed may have left it anywhere."""
        for name in self.names:
            for line in self.xensim("list", name).splitlines()[1:]:
                self.xensim("destroy", name, line.split()[0])
        self.guest = None

    def moved(self):
        self.names.reverse()
        if self.place == "fresh":
            # Back to where its memory is touched, and nothing beyond has been.
            self.drop_guest()
            self.xensim("stop", self.names[0])
            self.names.sort()
            self.settle()
            self.start("b")

    def settle(self):
        """Until a daemon that was stopped has gone."""
        end = time.monotonic() + 10
        while os.path.exists(f"{self.dir}/b/socket"):
            if time.monotonic() > end:
                raise Failed("host b did not stop")
            time.sleep(0.02)

    def daemons(self):
        found = []
        for name in self.names:
            try:
                with open(f"{self.dir}/{name}/pid", encoding="ascii") as f:
                    found.append(int(f.read()))
            except (OSError, ValueError):
                pass
        return found

    def close(self):
        for name in self.names:
            try:
                self.xensim("stop", name)
            except Failed:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)


class Stage:
    """A work directory, and the hosts that are up."""

    def __init__(self, build):
        self.build = build
        self.work = Work()
        self.hosts = None

    def daemons(self):
        return self.hosts.daemons() if self.hosts else []

    def close_hosts(self):
        if self.hosts:
            self.hosts.close()
            self.hosts = None
            end_children()

    def close(self):
        self.close_hosts()
        end_children()
        self.work.close()
