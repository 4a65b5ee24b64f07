#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""campaign.py [--seed S] [--n N] [--jobs J] [--seconds T] [--patience P] [--every-call] [-v]: moves
with faults.

Runs the plans of the seeds S to S+N-1 (plan.py); a run that falls over is repeated by its seed. With
--every-call instead: each of the four processes is killed at each of its system calls from the
suspend on, one run for each; how many there are a run without a kill has counted. A run fails, too, when
the guest stood still for too long. No new run begins
after T seconds. On a busy machine every limit of the campaign's own can be P times as long; those of the
programs stay. Ends with "N passed, N failed".
"""
import argparse
import json
import os
import queue
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import hosts
import plan as plans
from hosts import Failed, Pair, Watch, kill, now_ns
from wire import Wire

EVENTS = {'start': 'start', 'progress': 'round', 'suspending': 'suspending',
          'suspended': 'suspended', 'ready': 'ready', 'go': 'go'}
FAULT_IN = {('a', 'supervisor'): '--live', ('a', 'helper'): '--save-domain',
            ('b', 'receiver'): '--listen', ('b', 'helper'): '--restore-domain'}
# The run directory's own, locks of those that were killed, what `--metrics` counts, and whom `--live` moved where.
KEPT = ('moving-1', 'moving-2', 'pausing', 'start', 'finish', 'suspend', 'empty', 'metrics', 'departed')
MOVE_S = 75      # a move that has not ended by then hangs
BY_ITSELF_S = 12  # how long hosts get to settle what a dead process left
# A guest that stands still when a fault strikes runs again within that. A silent connection costs
# --start-timeout, which is 10 s; that a process was killed is noticed at once.
LONGEST_S = 12
EVERY_CALL_S = 5
IN_DOUBT_S = 1    # who was told to ask the other host need not wait for that
STAGES = ('begin', 'move', 'settle', 'check', 'clean up')
ENDS_S = 60      # and processes to end


class Run:
    def __init__(self, pair, plan, work):
        self.pair, self.plan, self.work = pair, plan, work
        self.events, self.struck = [], []  # (ns, what)
        self.timers = []
        self.how, self.ran_at = 'by itself', ''
        self.code = None
        self.calls = 0
        self.stopped = {}  # pid: when to go on
        self.took = dict.fromkeys(STAGES, 0.0)  # seconds
        self.stage_from = time.monotonic()

    # --- beginning ---

    def order(self, side):
        """What the preloaded library is told on that host."""
        env = {'FAULT_LOG': f'{self.work}/struck'}
        for f in self.plan.faults:
            if f.kind not in plans.IN_PROCESS or f.side != side:
                continue
            env.update(FAULT=f'call:{f.call}:{f.what}', FAULT_IN=FAULT_IN[side, f.who],
                       FAULT_NTH=str(f.nth), FAULT_LAST=str(f.last),
                       FAULT_COUNT=f'{self.work}/count', FAULT_GATE=f'{self.work}/{f.phase}')
            if f.last:  # of all processes together only the n-th; else of each
                env.pop('FAULT_COUNT')
        if side == 'a':
            env.setdefault('FAULT_GATE', f'{self.work}/suspended')
            if env['FAULT_GATE'].endswith('/suspended'):
                env['FAULT_OPENS'] = '"event":"suspended"'
        return env

    def listen(self, faulty):
        log = open(f'{self.work}/listen.err', 'a')
        options = ['--listen', '127.0.0.1:%d' % (self.wire.target if self.wire else 0)]
        self.listener = self.pair.b.start(options, self.order('b') if faulty else None,
                                          stdout=subprocess.PIPE, stderr=log)
        line = self.listener.stdout.readline()
        if 'port' not in line:
            raise Failed(f'the listener does not start: {open(log.name).read()[-300:]}')
        return int(line.rsplit(None, 1)[1].strip('.:'))

    def begin(self):
        self.wire = None
        with open(f'{self.work}/count', 'wb') as f:
            f.write(bytes(8))
        port = self.listen(True)
        open(f'{self.work}/begin', 'w').close()
        self.wire = Wire(port)
        pair = self.pair
        pair.a.ask('create', '--memory', self.plan.memory, '--vcpus', '2', '--dirty', '1500',
                   '--name', 'g', '--seed', str(self.plan.seed + 1),
                   *plans.OPTIONS[self.plan.guest])
        self.watch = Watch(pair)
        early = any(f.phase in ('begin', 'start', 'round') for f in self.plan.faults)
        self.mover = pair.a.start(
            ['--live', f'127.0.0.1:{self.wire.port}', 'g', '--json', '--bandwidth', '600M',
             *(['--silent-timeout', '6s'] if early else [])],
            self.order('a'), stdout=subprocess.PIPE, stderr=open(f'{self.work}/move.err', 'w'))
        self.reader = threading.Thread(target=self.read_events, daemon=True)
        self.reader.start()

    def read_events(self):
        seen = set()
        for line in self.mover.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            self.events.append((now_ns(), event))
            phase = EVENTS.get(event['event'])
            if phase and phase not in seen:
                seen.add(phase)
                self.enter(phase)

    def enter(self, phase):
        open(f'{self.work}/{phase}', 'w').close()
        for f in self.plan.faults:
            if f.phase == phase and f.kind in ('signal', 'wire'):
                t = threading.Timer(f.delay_s, self.strike, (f,))
                t.daemon = True
                self.timers.append(t)
                t.start()

    def strike(self, f):
        if f.kind == 'wire':
            self.struck.append((now_ns(), str(f)))
            self.wire.order(f)
            return
        main = self.mover.pid if f.side == 'a' else self.listener.pid
        pids = self.pair.who(f.side, f.who, main)
        for pid in pids:
            kill(pid, getattr(signal, f.what))
            if f.what == 'SIGSTOP':
                self.stopped[pid] = now_ns() + int(f.lasts_s * 1e9)
        if pids:
            self.struck.append((now_ns(), str(f)))

    # --- while it goes on ---

    def look_after_stopped(self):
        """Who was stopped goes on after a while; also who was stopped at a call of his own."""
        stops = [f for f in self.plan.faults if f.kind == 'call' and f.what == 'stop']
        if stops:
            for ns, pid, _ in self.strikes():
                self.stopped.setdefault(pid, ns + int(stops[0].lasts_s * 1e9))
        for pid, until in list(self.stopped.items()):
            if until and now_ns() >= until:
                kill(pid, signal.SIGCONT)
                self.stopped[pid] = 0

    def strikes(self):
        try:
            with open(f'{self.work}/struck') as f:
                return [(int(ns), int(pid), call)
                        for ns, pid, call in (line.split() for line in f)]
        except FileNotFoundError:
            return []

    def wait_until(self, seconds, what, every_s=0.02):
        end = time.monotonic() + seconds * hosts.patience
        while not what():
            self.look_after_stopped()
            if time.monotonic() > end:
                return False
            time.sleep(every_s)
        return True

    def is_settled(self):
        """The guest runs in one place, and there is no other copy of it."""
        try:
            a, b = self.pair.a.domains(), self.pair.b.domains()
        except OSError:
            return False
        return len(a) + len(b) == 1 and {**a, **b} == {'g': 'running'}

    def runs_at(self):
        """Where the guest runs under its own name, or ''."""
        try:
            return next((h.name for h in (self.pair.a, self.pair.b)
                         if h.domains().get('g') == 'running'), '')
        except OSError:
            return ''

    def give_name(self):
        """What the warning says is to be done when a rename was made to fail."""
        if (any(f.call == 'libxl_domain_rename' for f in self.plan.faults)
                and not self.pair.a.domains()
                and self.pair.b.domains() == {'g--incoming': 'running'}):
            self.pair.b.ask('rename', 'g--incoming', 'g')

    def kills(self):
        return any(f.what in ('SIGKILL', 'kill') for f in self.plan.faults)

    def breaks_disk_of(self, side):
        return any(f.kind == 'disk' and f.what.startswith('fail') and f.side == side
                   for f in self.plan.faults)

    def settle(self):
        """As an administrator would, once both hosts are up and see each other."""
        self.wait_until(BY_ITSELF_S if self.code in (2, 3) else 0, self.runs_at)
        self.ran_at = self.runs_at()
        doubt = self.code == 4 and not self.kills()
        if self.wait_until(IN_DOUBT_S if doubt else BY_ITSELF_S, self.is_settled):
            return
        self.give_name()
        for t in self.timers:
            t.join()
        self.wire.heal()
        self.how = 'by the listener'
        if self.breaks_disk_of('b') and self.listener.poll() is None:
            self.listener.kill()  # its disk is well again
            self.listener.wait()
        if self.listener.poll() is not None:
            self.listen(False)
            if self.wait_until(8, self.is_settled):
                return
        said = []
        for option in ('--recover', '--resolve') * 3:
            self.how = f'by {option}'
            for host in (self.pair.b, self.pair.a):
                done = host.xmigrate(option)
                said.append(f'{host.name} {option}: {done.returncode} {done.stderr.strip()}')
            self.give_name()
            if self.wait_until(4, self.is_settled):
                return
        raise Failed(f'nothing settles it: a {self.pair.a.domains()} b {self.pair.b.domains()}: '
                     + ' | '.join(said))

    # --- what must hold ---

    def check_words(self):
        failed = [e for _, e in self.events if e['event'] == 'failed']
        a, b = self.pair.a.domains(), self.pair.b.domains()
        with open(f'{self.work}/move.err') as f:
            lines = f.read().splitlines()
        if self.code == 0 and ('g' not in b or failed):
            raise Failed(f'it said that the guest is at b: a {a} b {b}')
        if self.code in (2, 3) and (len(failed) != 1 or failed[0]['guest'] != 'here'
                                    or self.ran_at != 'a' or 'g' not in a):
            raise Failed(f'it ended with {self.code} and {failed}: ran at {self.ran_at!r}, '
                         f'a {a} b {b}')
        if self.code == 4 and (len(failed) != 1 or failed[0]['guest'] != 'unknown' or
                               not any('xmigrate --' in line for line in lines)):
            raise Failed(f'in doubt, and said {failed} {lines}')
        if failed and (not failed[0]['text'] or (failed[0]['side'] == 'unknown'
                                                 and failed[0]['class'] != 'peer')):
            raise Failed(f'no side: {failed}')
        if self.code not in (0, 2, 3, 4) and not self.kills():
            raise Failed(f'it ended with {self.code}: {lines[-3:]}')

    def check_guest(self):
        a, b = self.pair.a, self.pair.b
        here = a if 'g' in a.domains() else b
        if self.watch.twice:
            raise Failed('the guest ran twice')
        try:
            here.ask('verify', 'g')
            time.sleep(0.05)
            here.ask('verify', 'g')
        except OSError as error:
            raise Failed(f'memory on {here.name}: {error}')
        modes = [line.split()[7] for line in here.ask('list').splitlines()[1:]]
        if modes != ['off']:
            raise Failed(f'log-dirty is {modes}')
        # The guest runs first.
        if self.plan.guest == 'hvm' and not self.wait_until(
                5, lambda: 'running, log-dirty off' in here.ask('dm', 'g')):
            raise Failed(f'its device model: {here.ask("dm", "g")}')
        return here

    def check_nothing_left(self, free):
        self.listener.terminate()
        if not self.wait_until(10, lambda: self.listener.poll() is not None):
            raise Failed('the listener does not end')
        # What was killed, or could not write, leaves files to the next one.
        for host in (self.pair.a, self.pair.b):
            if self.kills() or self.breaks_disk_of(host.name):
                host.xmigrate('--recover')
        left = []

        def is_empty():
            left[:] = [(p, w) for p, _, _, w in self.pair.processes()]
            return not left
        if not self.wait_until(ENDS_S, is_empty, 0.1):  # it looks through all of /proc
            raise Failed(f'processes are left: {left}')
        for host in (self.pair.a, self.pair.b):
            # Locks stay, and what a monitor said.
            files = {n for n in os.listdir(host.run_dir) if n not in KEPT
                     and not n.startswith(('domain-', 'monitor-'))}
            if files:
                raise Failed(f'files are left in the run directory of {host.name}: {files}')
            # What a source did not hear the destination keeps.
            files = {n for n in os.listdir(host.state_dir) if n != 'id' and not (
                host.name == 'b' and n.startswith(('in-', 'past-')))}
            if files:
                raise Failed(f'files are left in the state directory of {host.name}: {files}')
            if host.ask('info') != free[host.name]:
                raise Failed(f'memory is held on {host.name}: {free[host.name]} {host.ask("info")}')

    def pause_ns(self):
        """From the first fault to a running guest, counted from the suspend; None: it was not
        suspended after it, or before it was over, or waited for the administrator."""
        w = self.watch
        if self.how != 'by itself':
            return None
        times = [ns for ns, _ in self.struck] + [ns for ns, *_ in self.strikes()]
        if not times or not w.suspended_ns or not w.again_ns or min(times) > w.again_ns:
            return None
        return w.again_ns - max(min(times), w.suspended_ns)

    def check_pause(self, longest_s):
        pause_ns = self.pause_ns()
        if pause_ns and not self.plan.holds_up() and pause_ns > longest_s * hosts.patience * 1e9:
            raise Failed(f'it stood still for {pause_ns / 1e9:.1f} s')

    def go(self, longest_s):
        free = {h.name: h.ask('info') for h in (self.pair.a, self.pair.b)}
        self.begin()
        self.ends('begin')
        try:
            if not self.wait_until(MOVE_S, lambda: self.mover.poll() is not None):
                raise Failed('the move hangs')
            self.code = self.mover.returncode
            self.reader.join(10)
            self.ends('move')
            self.settle()
            for t in self.timers:
                t.join(10)
            self.wait_until(6, lambda: not any(self.stopped.values()))
            if not self.wait_until(3, self.is_settled):
                raise Failed(f'settled no longer: a {self.pair.a.domains()} '
                             f'b {self.pair.b.domains()}')
            self.ends('settle')
            self.check_words()
            self.check_pause(longest_s)
            here = self.check_guest()
            self.ends('check')
            self.watch.end()
            here.ask('destroy', 'g')
            self.check_nothing_left(free)
            self.ends('clean up')
            with open(f'{self.work}/count', 'rb') as f:
                self.calls = struct.unpack('<q', f.read())[0]
        finally:
            self.watch.end()
            self.wire.close()

    def ends(self, stage):
        now = time.monotonic()
        self.took[stage] = now - self.stage_from
        self.stage_from = now

    def was_struck(self):
        return bool(self.struck or self.strikes())


# --- many of them ---

class Campaign:
    def __init__(self, base, verbose, longest_s):
        self.base, self.verbose, self.longest_s = base, verbose, longest_s
        self.pairs = queue.Queue()
        self.lock = threading.Lock()
        self.number = 0
        self.passed = self.failed = self.missed = 0
        self.table, self.kinds, self.codes = Counter(), Counter(), Counter()
        self.doubtful, self.settled = Counter(), Counter()
        self.took = Counter()  # seconds, by stage
        self.pauses = []  # (seconds, seed, a fault of the plan holds things up by itself)

    def new_pair(self):
        with self.lock:
            self.number += 1
            base = f'{self.base}/{self.number}'
        os.makedirs(base)
        return Pair(base)

    def run(self, plan):
        pair = self.pairs.get()
        work = tempfile.mkdtemp(dir=self.base)
        run, began = Run(pair, plan, work), time.monotonic()
        try:
            run.go(self.longest_s)
            why = None
        except (Failed, OSError, subprocess.SubprocessError, ValueError) as error:
            why = f'{type(error).__name__}: {error}'
        if why:
            shutil.copytree(work, f'{self.base}/failed-{plan.seed}', dirs_exist_ok=True)
            pair.stop()
            pair = self.new_pair()
        else:
            for d in (pair.a, pair.b):
                for name in os.listdir(d.state_dir):
                    if name != 'id':
                        os.unlink(f'{d.state_dir}/{name}')
        self.note(run, plan, why, time.monotonic() - began)
        shutil.rmtree(work)
        self.pairs.put(pair)
        return run

    def note(self, run, plan, why, seconds):
        with self.lock:
            struck, pause_ns = run.was_struck(), None if why else run.pause_ns()
            self.took.update(run.took)
            self.failed += bool(why)
            self.passed += not why
            self.missed += not struck
            if struck:
                for f in plan.faults:
                    self.table[f.kind, f.phase] += 1
                    self.kinds[f.kind, f.what.split('=')[0]] += 1
            if not why:
                self.codes['killed' if run.code < 0 or run.code > 128 else run.code] += 1
                if run.code == 4:
                    self.doubtful[run.how] += 1
                elif run.how != 'by itself':
                    self.settled[run.how] += 1
                if pause_ns is not None:
                    self.pauses.append((pause_ns / 1e9, plan.seed, plan.holds_up()))
            if (self.passed + self.failed) % 100 == 0:
                print(f'{self.passed + self.failed} runs, the last of seed {plan.seed}: '
                      f'{self.failed} failed', flush=True)
            if why or self.verbose:
                stages = ' '.join(f'{s:.1f}' for s in run.took.values())
                print(f'{"FAILED" if why else "ok"} seed {plan.seed} ({seconds:.1f} s: {stages}, '
                      f'ended with {run.code}, {run.how}'
                      f'{"" if pause_ns is None else f", stood still {pause_ns / 1e9:.2f} s"}'
                      f'{"" if struck else ", not struck"}) {plan}',
                      flush=True)
            if why:
                print(f'    {why}', flush=True)
                for name in ('move.err', 'listen.err'):
                    try:
                        with open(f'{run.work}/{name}') as f:
                            for line in f.read().splitlines()[-6:]:
                                print(f'    {name}: {line}', flush=True)
                    except OSError:
                        pass

    def report(self):
        print('\nfaults that struck, by kind and by the phase they could begin in:')
        print('%-10s' % '' + ''.join('%11s' % p for p in plans.PHASES) + '%8s' % 'all')
        for kind in sorted({k for k, _ in self.table}):
            row = [self.table[kind, p] for p in plans.PHASES]
            print('%-10s' % kind + ''.join('%11d' % n for n in row) + '%8d' % sum(row))
        for kind in sorted({k for k, _ in self.kinds}):
            print(f'{kind}: ' + ', '.join(f'{w} {n}' for (k, w), n in sorted(self.kinds.items())
                                          if k == kind))
        print(f'runs in which no fault came to strike: {self.missed}')
        runs = max(1, self.passed + self.failed)
        print('seconds of a run, on average: ' + ', '.join(
            f'{stage} {s / runs:.2f}' for stage, s in self.took.items()))
        print(f'guests lost or run twice: {self.failed} runs failed'
              if self.failed else 'guests lost or run twice: none')
        listed = lambda c: ', '.join(f'{k} {n}' for k, n in c.most_common()) or 'none'
        print(f'moves ended with: {listed(self.codes)}')
        print(f'in doubt (4), and settled: {listed(self.doubtful)}')
        print(f'left by dead processes, and settled: {listed(self.settled)}')
        for what, held in (('', (False, True)), (', where no fault holds up by itself', (False,))):
            p = sorted(p for p in self.pauses if p[2] in held)
            if not p:
                continue
            at = lambda share: p[min(len(p) - 1, int(len(p) * share))]
            print(f'from the fault to a running guest, from its suspend on{what}: p50 '
                  f'{at(.5)[0]:.2f} s, p99 {at(.99)[0]:.2f} s (seed {at(.99)[1]}), longest '
                  f'{p[-1][0]:.2f} s (seed {p[-1][1]}), of {len(p)}')


def every_call(campaign, guest, step):
    """Plans: each process killed at each call from the suspend on."""
    for side, who in FAULT_IN:
        dry = plans.Plan(1, guest, '16M',
                         [plans.Fault('call', 'suspended', side, who, 'sleep=0', 'any', 1 << 40)])
        calls = campaign.run(dry).calls
        print(f'{side}:{who}: {calls} calls after the suspend', flush=True)
        for nth in range(1, calls + 1, step):
            yield plans.Plan(nth, guest, '16M', [
                plans.Fault('call', 'suspended', side, who, 'kill', 'any', nth)])


def main():
    args = argparse.ArgumentParser()
    args.add_argument('--seed', type=int, default=1)
    args.add_argument('--n', type=int, default=60)
    args.add_argument('--jobs', type=int, default=2)
    args.add_argument('--seconds', type=float, default=0)
    args.add_argument('--every-call', action='store_true')
    args.add_argument('--step', type=int, default=1)
    args.add_argument('--patience', type=float, default=1,
                      help='times as much for every limit: on a busy machine')
    args.add_argument('--guest', default='pvh')
    args.add_argument('--plans', action='store_true', help='print the plans and end')
    args.add_argument('-v', action='store_true')
    o = args.parse_args()
    hosts.patience = o.patience
    if o.plans:
        for seed in range(o.seed, o.seed + o.n):
            print(seed, plans.make(seed))
        return 0
    # Short: sockets lie below it.
    base = tempfile.mkdtemp(prefix='faults.')
    campaign = Campaign(base, o.v, EVERY_CALL_S if o.every_call else LONGEST_S)
    end = time.monotonic() + o.seconds if o.seconds else float('inf')
    try:
        for _ in range(o.jobs):
            campaign.pairs.put(campaign.new_pair())
        todo = every_call(campaign, o.guest, o.step) if o.every_call else map(
            plans.make, range(o.seed, o.seed + o.n))
        with ThreadPoolExecutor(o.jobs) as pool:
            begun = list(pool.map(lambda p: time.monotonic() < end and campaign.run(p), todo))
        if not all(begun):
            print(f'{begun.count(False)} plans were not begun, for want of time')
    finally:
        campaign.report()
        while not campaign.pairs.empty():
            campaign.pairs.get().stop()
        if campaign.failed:
            print(f'what was said is in {base}/failed-*')
        else:
            shutil.rmtree(base)
    print(f'{campaign.passed} passed, {campaign.failed} failed')
    return campaign.failed != 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
