# SPDX-License-Identifier: MIT
"""Two simulated hosts, a and b, that trust each other, and what runs on them."""
import os
import signal
import socket
import struct
import subprocess
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(TOP, os.environ.get('B', 'build'))
XENSIM, XMIGRATE = f'{B}/xensim', f'{B}/xmigrate'
OP_COMMAND = 6
REQUEST, REPLY = struct.Struct('<II6Q'), struct.Struct('<qQII')


patience = 1  # times as much for every limit of ours: the machine is that slow


class Failed(Exception):
    """What a run must not do."""


def now_ns():
    return time.monotonic_ns()


def executable(path, flags):
    return os.open(path, flags, 0o755)


class Host:
    def __init__(self, base, name):
        self.base, self.name = base, name
        self.run_dir, self.state_dir = f'{base}/run-{name}', f'{base}/state-{name}'
        self.etc = f'{base}/etc-{name}'
        self.env = dict(os.environ, XENSIM_DIR=f'{base}/h', XMIGRATE_RUN_DIR=self.run_dir,
                        XMIGRATE_STATE_DIR=self.state_dir)
        self.env['XMIGRATE_DEVICE_MODEL'] = f'{base}/qemu-{name}'
        for d in (self.run_dir, self.state_dir):
            os.makedirs(d, mode=0o700)
        with open(self.env['XMIGRATE_DEVICE_MODEL'], 'w', opener=executable) as f:
            f.write('#!/bin/sh\necho "QEMU emulator version 7.2.0 (test)"\n')
        subprocess.run([XENSIM, 'host', name, '--mem', '512M'], env=self.env, check=True)

    def ask(self, *words):
        """A command of xensim; its text. OSError if it is refused."""
        data = b''.join(w.encode() + b'\0' for w in words)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(20 * patience)
            s.connect(f'{self.base}/h/{self.name}/socket')
            s.sendmsg([REQUEST.pack(OP_COMMAND, len(data), 0, 0, 0, 0, 0, 0), data])
            answer = s.recv(65536)
        if len(answer) < REPLY.size:
            raise OSError(f'{self.name} ends')
        result = REPLY.unpack_from(answer)[0]
        text = answer[REPLY.size:].decode(errors='replace')
        if result:
            raise OSError(-result, text.strip())
        return text

    def domains(self):
        """{name: state}; state is running, suspended, paused, shut or dying."""
        found = {}
        for line in self.ask('dominfo').splitlines():
            w = line.split()
            paused, shut, code, dying = w[5] != '0', w[6] != '0', w[7], w[8] != '0'
            found[w[12]] = ('dying' if dying else 'suspended' if shut and code == '2' else
                            'shut' if shut else 'paused' if paused else 'running')
        return found

    def command(self, *options):
        etc = [] if '--recover' in options else ['--config-dir', self.etc]
        return [XENSIM, 'run', self.name, '--', XMIGRATE, *etc, *options]

    def xmigrate(self, *options):
        return subprocess.run(self.command(*options), env=self.env, text=True, timeout=90 * patience,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def start(self, options, extra=None, **popen):
        """With a fault's order in its environment, if there is one."""
        env = dict(self.env, **(extra or {}))
        command = self.command(*options)
        if extra:
            at = command.index('--') + 1
            command[at:at] = ['sh', '-c', 'LD_PRELOAD=$0:$LD_PRELOAD exec "$@"',
                              f'{B}/e2e/fault.so']
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, text=True, **popen)

    def stop(self):
        try:
            self.ask('stop')
        except OSError:
            pass


class Pair:
    def __init__(self, base):
        self.base = base
        self.a, self.b = Host(base, 'a'), Host(base, 'b')
        for x, y in ((self.a, self.b), (self.b, self.a)):
            key = y.xmigrate('--identity').stdout.strip()
            x.xmigrate('--trust', key, y.name).check_returncode()

    def processes(self):
        """[(pid, ppid, host, words)] of all that run on the two hosts, the hosts aside."""
        mark = f'XENSIM_DIR={self.base}/h'.encode()
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/environ', 'rb') as f:
                    env = f.read().split(b'\0')
                if mark not in env:
                    continue
                with open(f'/proc/{pid}/cmdline', 'rb') as f:
                    words = f.read().decode(errors='replace').split('\0')[:-1]
                with open(f'/proc/{pid}/stat') as f:
                    stat = f.read().rpartition(')')[2].split()
            except OSError:
                continue
            # Only what a simulated host runs knows which one it is.
            host = next((e[-1:].decode() for e in env if e.startswith(b'XMIGRATE_RUN_DIR=')), '')
            if stat[0] != 'Z' and words and 'host' not in words[1:2]:
                found.append((int(pid), int(stat[1]), host, words))
        return found

    def who(self, side, role, main_pid):
        """The pids of a process by what it is; main_pid: the supervisor's or listener's."""
        found = []
        for pid, _, host, words in self.processes():
            text = ' '.join(words)
            if host != side or '--monitor' in text:
                continue
            if 'save-helper' in text:
                is_role = role == 'helper' and (
                    ('--save-domain' if side == 'a' else '--restore-domain') in text)
            elif side == 'a':
                is_role = '--live' in text and role == (
                    'supervisor' if pid == main_pid else 'rescuer')
            else:
                is_role = '--listen' in text and role == (
                    'listener' if pid == main_pid else
                    'acceptor' if is_confined(pid) else 'receiver')
            if is_role:
                found.append(pid)
        return found

    def stop(self):
        self.a.stop()
        self.b.stop()
        for pid, *_ in self.processes():
            kill(pid, signal.SIGKILL)


def is_confined(pid):
    """An acceptor or a relay, which have given up their rights."""
    try:
        with open(f'/proc/{pid}/status') as f:
            return not any(line.split()[1] == '0' for line in f if line.startswith('Uid:'))
    except OSError:
        return False


def kill(pid, how):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


class Watch:
    """Looks at both hosts all the time: when the guest was suspended, when it ran again, and that
    it never runs twice."""

    def __init__(self, pair):
        self.pair = pair
        self.suspended_ns = self.again_ns = 0
        self.twice = False
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def look(self):
        try:
            return [n for h in (self.pair.a, self.pair.b) for n, s in h.domains().items()
                    if s == 'running']
        except OSError:
            return None

    def _run(self):
        while not self.over.wait(0.02):
            running = self.look()
            if running is None:
                continue
            if len(running) > 1 and len(self.look() or ()) > 1:
                self.twice = True
            if not running and not self.suspended_ns:
                self.suspended_ns = now_ns()
            if running and self.suspended_ns and not self.again_ns:
                self.again_ns = now_ns()
            if not running:
                self.again_ns = 0

    def end(self):
        self.over.set()
        self.thread.join()
