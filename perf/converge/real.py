# SPDX-License-Identifier: MIT
"""A sample of the runs for real: guests of xensim that replay the same traces, moved by xmigrate and
by Xen's own save helper over links made of token buckets. Needs nothing but what make has built;
Xen's helper takes part if it is there (make stock-helper)."""
import itertools
import json
import os
import re
import subprocess
import tempfile
import threading
import time

MIB = 128
TARGET_MS = 300
# Workloads of an even pace: where one changes, a few milliseconds make another run of it. None of which
# a round leaves just what the pause has room for (uniform at 0.3 does): a millisecond more or less then
# decides about another round. At 5 Gb/s such as write side by side: to map scattered pages one by one
# is dearer on xensim than on Xen (a system call each, see docs/xensim.md), and then that is the speed,
# and not the link's.
SAMPLE = [('uniform', 0.4, '1G'), ('uniform', 2, '1G'), ('hot', 0.6, '1G'), ('zipf', 1, '1G'),
          ('server', 0.3, '1G'), ('sweep', 0.3, '5G'), ('idle', 1, '5G')]
RATES = {'1G': 1e9, '5G': 5e9}
SEED = 7


class Hosts:
    """Two hosts, and a listener on the second."""

    def __init__(self, build, folder):
        self.build, self.folder = os.path.abspath(build), folder
        self.names = [f'conv-{os.getpid()}-a', f'conv-{os.getpid()}-b']
        for name in self.names:
            self.sim('host', name, '--mem', '512M', '--prealloc')
            os.makedirs(os.path.join(folder, name), mode=0o700)
        self.listener = subprocess.Popen(
            self.on(1, 'xmigrate', '--listen', '127.0.0.1:0', '--insecure'),
            env=self.env(1), stdout=subprocess.PIPE, text=True)
        self.port = re.search(r'port (\d+)', self.listener.stdout.readline()).group(1)

    def env(self, i):
        return dict(os.environ, XMIGRATE_RUN_DIR=os.path.join(self.folder, self.names[i]))

    def on(self, i, program, *words):
        return [self.build + '/xensim', 'run', self.names[i], '--', f'{self.build}/{program}', *words]

    def sim(self, *words):
        return subprocess.run([self.build + '/xensim', *words], check=True, stdout=subprocess.PIPE,
                              text=True).stdout

    def state(self, i):
        words = [line.split() for line in self.sim('list', self.names[i]).splitlines()[1:]]
        return next((w[6] for w in words if w[1] == 'g'), None)

    def close(self):
        self.listener.terminate()
        self.listener.wait()
        for name in self.names:
            subprocess.run([self.build + '/xensim', 'stop', name], stdout=subprocess.DEVNULL)


class Guest:
    """own_mib: how much memory it has beside what the trace writes to."""

    def __init__(self, own_mib, rate, writes):
        self.own_mib, self.rate, self.writes = own_mib, rate, writes

    def step(self, writes, later_s):
        """Where in its trace it is, so long after it had made so many writes."""
        laps, rest = divmod(writes, sum(self.writes))
        at = next(i for i, n in enumerate(itertools.accumulate(self.writes)) if n >= rest)
        return laps * len(self.writes) + at + 1 + int(later_s * self.rate)


def create(hosts, program, workload, ratio, link):
    trace = os.path.join(hosts.folder, 'trace')
    text = subprocess.run([program, 'trace', workload, str(ratio), link, str(SEED), str(MIB)],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    rate, lines = text.split('\n', 1)
    with open(trace, 'w') as f:
        f.write(lines)
    # The trace and the guest's own tables come on top of what the trace writes to.
    own_mib = len(lines.splitlines()) * 8 // (1 << 20) + 4
    # A PV guest: that of another type has holes in its memory, and while lanes walk over them the
    # link rests, which the simulation does not know.
    hosts.sim('create', hosts.names[0], '--type', 'pv', '--memory', f'{MIB + own_mib}M', '--vcpus',
              '1', '--dirty', rate, '--pattern', f'file:{trace}', '--content',
              'zero=0,text=0,random=100', '--name', 'g')
    time.sleep(0.5)
    return Guest(own_mib, float(rate), [line != '-' for line in lines.splitlines()])


def row(workload, ratio, link, policy, **figures):
    return dict(trace={'name': f'{workload} x{ratio:g}', 'seed': SEED}, link=link, policy=policy,
                target_ms=float(TARGET_MS), real=True, words=[], points=[],
                outcome='met' if figures['downtime_ms'] <= TARGET_MS else 'missed', **figures)


def beside(program, r, own_mib, from_step, told_ns, took_ns):
    """The pause of the simulation of the same run, with the costs as they were."""
    workload, ratio = r['trace']['name'].split(' x')
    words = [program, 'beside', workload, ratio, r['link'], r['policy'], str(SEED), str(MIB)]
    figures = [str(int(n)) for n in (own_mib, from_step, *told_ns, *took_ns)]
    out = subprocess.run(words + figures, check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    simulated = json.loads(out)
    if simulated['outcome'] not in ('met', 'missed'):
        raise RuntimeError(f'{r["trace"]["name"]}, simulated: {simulated["outcome"]}')
    return simulated['downtime_ms']


def move(hosts, program, workload, ratio, link):
    """By xmigrate."""
    guest = create(hosts, program, workload, ratio, link)
    writes = int(hosts.sim('writes', hosts.names[0], 'g'))
    out = subprocess.run(
        hosts.on(0, 'xmigrate', '--live', f'127.0.0.1:{hosts.port}', 'g', '--insecure', '--json', '-q',
                 '--compress', 'none', '--lanes', '2', '--bandwidth', f'{RATES[link]:.0f}'),
        env=hosts.env(0), check=True, stdout=subprocess.PIPE, text=True).stdout
    events = [json.loads(line) for line in out.splitlines()]
    done, parts = events[-1], events[-1]['downtime']
    decisions = [e for e in events if e['event'] == 'decision']
    r = row(workload, ratio, link, 'xmigrate', downtime_ms=done['downtime_ns'] / 1e6,
            predicted_ms=done['predicted_downtime_ns'] / 1e6, bytes=done['wire_bytes'],
            seconds=done['total_ns'] / 1e9, rounds=done['rounds'])
    r['words'] = [d['text'] for d in decisions]
    first = next(e for e in events if e['event'] == 'round')
    begun_ns = first['elapsed_ns'] - first['clean_ns'] - first['duration_ns']
    from_step = guest.step(writes, begun_ns / 1e9)
    told = done['predicted']
    fixed = sum(parts[k] for k in ('state_ns', 'receiver_ns', 'disks_ns', 'libxl_ns', 'hand_off_ns'))
    r['simulated_ms'] = beside(program, r, guest.own_mib, from_step,
                               (told['suspend_ns'], told['finish_ns']), (parts['suspend_ns'], fixed))
    hosts.sim('destroy', hosts.names[1], 'g')
    return r


def pairs_of(rows):
    """The real runs that were simulated, too."""
    return [r for r in rows if r.get('simulated_ms') is not None]


class Link(threading.Thread):
    """Between two FIFOs, so many bits a second."""

    def __init__(self, source, sink, bits_per_s):
        super().__init__(daemon=True)
        self.source, self.sink, self.rate = source, sink, bits_per_s
        self.bytes = 0

    def run(self):
        with open(self.source, 'rb', buffering=0) as a, open(self.sink, 'wb', buffering=0) as b:
            ready = time.monotonic()
            while data := a.read(1 << 16):
                ready = max(ready, time.monotonic() - 0.02) + len(data) * 8 / self.rate
                time.sleep(max(0, ready - time.monotonic()))
                while data:
                    n = b.write(data)
                    self.bytes += n
                    data = data[n:]


def move_stock(hosts, program, stock, workload, ratio, link):
    """By Xen's helper: its stream through a link, the pause by looking at the guest's state."""
    create(hosts, program, workload, ratio, link)
    fifos = [os.path.join(hosts.folder, n) for n in ('out', 'in')]
    for f in fifos:
        os.mkfifo(f)
    wire = Link(fifos[0], fifos[1], RATES[link])
    wire.start()
    through = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), 'through-fifo')
    start = time.monotonic()
    child = subprocess.Popen([hosts.build + '/xensim', 'migrate', hosts.names[0], 'g', hosts.names[1],
                              '--live', '--helper', through],
                             env=dict(os.environ, BENCH_HELPER=stock, BENCH_OUT=fifos[0],
                                      BENCH_IN=fifos[1]), stdout=subprocess.DEVNULL)
    stopped = None
    while child.poll() is None:
        if not stopped and hosts.state(0) != 'running':
            stopped = time.monotonic()
        time.sleep(0.002)
    end = time.monotonic()
    if child.returncode or not stopped:
        raise RuntimeError("Xen's helper failed")
    wire.join()
    for f in fifos:
        os.unlink(f)
    r = row(workload, ratio, link, 'xen', downtime_ms=(end - stopped) * 1e3, predicted_ms=None,
            bytes=wire.bytes, seconds=end - start, rounds=6)
    hosts.sim('destroy', hosts.names[1], 'g')
    return r


def run(build, program):
    stock = os.path.join('build', 'xen-utils/usr/lib/xen-4.17/bin/libxl-save-helper')
    stock = os.path.abspath(stock) if os.path.exists(stock) else None
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        hosts = Hosts(build, folder)
        try:
            # What arrivals take is learnt from earlier ones.
            move(hosts, program, 'idle', 1, '1G')
            for cell in SAMPLE:
                rows.append(move(hosts, program, *cell))
                if stock and cell[2] == '1G':
                    rows.append(move_stock(hosts, program, stock, *cell))
        finally:
            hosts.close()
    return rows
