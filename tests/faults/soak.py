#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""soak.py [--n N] [--guests G] [--patience P]: N moves there and back in all, G guests (8) at once.

The listeners and the hosts' daemons must not grow: memory and descriptors are measured after a tenth
of the moves, when all that is kept has been made, in the middle and at the end. On a busy machine
(P above 1) a move that a limit has stopped is made again, and told. Ends with "N passed, N failed".
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import hosts
from hosts import Pair, kill

# How much more memory at the end than after a tenth of the moves is noise: a listener's is still, a
# daemon's goes up and down with its guests' threads.
MEMORY_KIB = {'listener': 512, 'daemon': 32 << 10}


def measure(pid):
    """Memory of its own in KiB, descriptors, threads."""
    with open(f'/proc/{pid}/smaps_rollup') as f:
        own = sum(int(line.split()[1]) for line in f if line.startswith(('Private_Dirty:',)))
    with open(f'/proc/{pid}/stat') as f:
        threads = int(f.read().rpartition(')')[2].split()[17])
    return own, len(os.listdir(f'/proc/{pid}/fd')), threads


class Soak:
    def __init__(self, base, moves, guests):
        self.pair, self.moves, self.guests = Pair(base), moves, guests
        self.done, self.repeated, self.failures = 0, [], []
        self.lock = threading.Lock()
        self.ports, self.watched, self.figures = {}, {}, []
        self.resting = threading.Barrier(guests, action=self.rest)
        per_guest = moves // guests
        self.stops = {max(2, per_guest // 10 & ~1), per_guest // 2 & ~1, per_guest & ~1}

    def start(self):
        for host in (self.pair.a, self.pair.b):
            listener = host.start(['--listen', '127.0.0.1:0'], stdout=subprocess.PIPE,
                                  stderr=open(f'{host.base}/listen-{host.name}', 'w'))
            self.ports[host.name] = int(listener.stdout.readline().rsplit(None, 1)[1])
            self.watched[f'listener {host.name}'] = listener.pid
            with open(f'{host.base}/h/{host.name}/pid') as f:
                self.watched[f'daemon {host.name}'] = int(f.read())
        for i in range(self.guests):
            self.pair.a.ask('create', '--memory', '16M', '--name', f'g{i}', '--dirty', '500',
                            '--type', ('pvh', 'pv', 'pv32')[i % 3], '--seed', str(i + 1))

    def rest(self):
        """All guests are on a, and nothing moves."""
        time.sleep(1)
        figures = {n: measure(p) for n, p in self.watched.items()}
        self.figures.append((self.done, figures))
        print(f'after {self.done} moves: ' + '; '.join(
            f'{name} {kib} KiB, {fds} descriptors, {threads} threads'
            for name, (kib, fds, threads) in figures.items()), flush=True)

    def move(self, name, here, there):
        done = here.xmigrate('--live', f'127.0.0.1:{self.ports[there.name]}', name, '-q')
        with self.lock:
            said = f'{name} to {there.name}: {done.returncode} {done.stderr.strip()}'
            again = hosts.patience > 1 and len(self.repeated) < self.moves // 20
            if done.returncode == 3 and again:
                self.repeated.append(said)
                return None
            self.done += 1
            if done.returncode:
                self.failures.append(said)
        return not done.returncode

    def shuttle(self, i):
        a, b = self.pair.a, self.pair.b
        last = max(self.stops)
        try:
            for n in range(1, last + 1):
                here, there = (a, b) if n % 2 else (b, a)
                ok = None
                while ok is None:
                    ok = self.move(f'g{i}', here, there)
                if not ok:
                    self.resting.abort()
                    return
                if n in self.stops:
                    self.resting.wait(600 * hosts.patience)
            a.ask('verify', f'g{i}')
        except threading.BrokenBarrierError:
            pass
        except (OSError, subprocess.SubprocessError) as error:
            self.failures.append(f'g{i}: {error}')
            self.resting.abort()

    def run(self):
        self.start()
        threads = [threading.Thread(target=self.shuttle, args=(i,)) for i in range(self.guests)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def growth(self):
        first, last = self.figures[0][1], self.figures[-1][1]
        return [f'{name} grew: {first[name]} KiB, descriptors, threads, then {last[name]}'
                for name in first
                if last[name][0] > first[name][0] + MEMORY_KIB[name.split()[0]] or
                last[name][1:] > first[name][1:]]


def main():
    args = argparse.ArgumentParser()
    args.add_argument('--n', type=int, default=2000)
    args.add_argument('--guests', type=int, default=8)
    args.add_argument('--patience', type=float, default=1)
    o = args.parse_args()
    hosts.patience = o.patience
    base = tempfile.mkdtemp(prefix='soak.')
    soak = Soak(base, o.n, o.guests)
    try:
        soak.run()
        for said in soak.repeated:
            print(f'made again: {said}')
        problems = soak.failures or (soak.growth() if len(soak.figures) > 1 else ['not measured'])
        for p in problems:
            print(f'FAILED {p}')
    finally:
        for pid in soak.watched.values():
            kill(pid, 15)
        soak.pair.stop()
        shutil.rmtree(base)
    print(f'{soak.done - len(soak.failures)} passed, {len(problems)} failed')
    return bool(problems)


if __name__ == '__main__':
    sys.exit(main())
