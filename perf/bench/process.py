# SPDX-License-Identifier: MIT
"""CPU time, children and the work directory.

The benchmark is the reaper of everything that it starts, however often that forks: so what ended
in a turn is counted in that turn, whatever process it was, and nothing is left at the end.
"""
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """A turn that did not work, in words for people."""


class Unavailable(Exception):
    """Something to measure is not there, in words for people."""


def become_reaper():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def ended_cpu_s():
    """Of all children, and theirs, that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def process_cpu_s(pid):
    """Of a process that runs: its CPU clock, as clock_getcpuclockid(3) makes it."""
    return time.clock_gettime(~pid << 3 | 2)


def machine_cpu_s():
    """Of all that runs on this machine, by all its processors together."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Others:
    """What others use of the processors from now on."""

    def __init__(self, own_pids):
        self.own_pids = own_pids  # a function: those beside us and children that have ended
        self.begin = self.now()

    def now(self):
        own = resource.getrusage(resource.RUSAGE_SELF)
        own_s = own.ru_utime + own.ru_stime + ended_cpu_s()
        own_s += sum(map(process_cpu_s, self.own_pids()))
        return time.monotonic(), machine_cpu_s() - own_s

    def cores(self):
        (begin_s, begin_cpu_s), (end_s, end_cpu_s) = self.begin, self.now()
        return max(0.0, (end_cpu_s - begin_cpu_s) / (end_s - begin_s))


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def children(parent):
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == parent:
                    found.append(int(name))
        except (OSError, IndexError):
            pass
    return found


def wait_until(seconds, what, true):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.005)


def end_children(keep=()):
    """End and reap whatever is still there but for those pids."""
    for sig, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        end = time.monotonic() + seconds
        while True:
            left = [p for p in children(os.getpid()) if p not in keep]
            if not left:
                return
            for pid in left:
                if sig == signal.SIGKILL or time.monotonic() < end:
                    try:
                        os.kill(pid, sig)
                    except ProcessLookupError:
                        pass
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
            if time.monotonic() > end:
                break
            time.sleep(0.01)


def run(command, seconds=120, **more):
    """Its output; Failed with its last words if it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=seconds, check=False, **more)
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(command[0])}: not within {seconds} s") from None
    except OSError as e:
        raise Failed(f"{command[0]}: {e.strerror}") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no words"]
        raise Failed(f"{' '.join(command[:3])}: exit {done.returncode}: {words[0]}")
    return done.stdout


class Work:
    """A directory, and a tmpfs in it where that is permitted; both go at the end."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="xmigrate-bench.")
        self.memory_dir = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def memory(self, pages="always"):
        """A directory in memory, for files that stand for a guest's memory, in huge pages. With never, as
        the kernel mounts it, for files that stand for a file system's: of a huge page Linux first fills
        with zeros what a write leaves of it, which no disk's file system does."""
        if not self.memory_dir:
            self.memory_dir = self.path("memory")
            os.mkdir(self.memory_dir)
            try:
                run(["mount", "-t", "tmpfs", "-o", f"huge={pages}", "xmigrate-bench",
                     self.memory_dir])
            except Failed:
                self.memory_dir = tempfile.mkdtemp(prefix="xmigrate-bench.", dir="/dev/shm")
        return self.memory_dir

    def close(self):
        if self.memory_dir and os.path.ismount(self.memory_dir):
            run(["umount", "-l", self.memory_dir])
        elif self.memory_dir:
            shutil.rmtree(self.memory_dir, ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)
