# SPDX-License-Identifier: MIT
"""Those who take turns. Each has turn(bout, codec), which moves the bout's guest once.

Seconds are of the memory, for everybody: from the first page until the destination has built all
of it, or has all that was sent. CPU is of both ends and of
every process that belongs to a player: the benchmark waits for all of them and asks the kernel.
What starts before a move and serves many (a listener, QEMU with its memory) is counted from the
beginning of the move. xensim's daemons are not counted: they stand for the hypervisor.
"""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time

from .cases import CONTENTS, size_bytes
from .figures import Turn, turn_of
from .hosts import GUEST
from .process import (Failed, Unavailable, children, command_line, end_children, ended_cpu_s,
                      process_cpu_s, run, wait_until)

MOVE_SECONDS = 300
MIB = 1 << 20


def spawn(command, **more):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)


def spawn_talking(command, environment):
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env=environment)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Player:
    def __init__(self, bench):
        self.bench = bench

    def check(self, bout, codec):
        """Unavailable if it cannot take part."""

    def settings(self):
        """How it is set up, for people; "" for one that needs no telling."""
        return ""

    def close(self):
        pass


class Floor(Player):
    def measure(self, what, lanes, size):
        words = [f"{self.bench.build}/perf/floor", what, str(lanes), str(size_bytes(size) // MIB)]
        said = json.loads(run(words, seconds=MOVE_SECONDS))
        return Turn(said["GBps"], said["cpu_s_per_GB"])

    def turn(self, bout, _codec):
        return self.measure("tls" if bout.tls else "tcp", bout.lanes, bout.size)


class Xmigrate(Player):
    def listen(self, hosts, secure):
        out = open(f"{hosts.dir}/listener.out", "w+", encoding="utf-8")
        listener = spawn(hosts.xmigrate(hosts.names[1], "--listen", f"{hosts.address}:0", *secure),
                         stdout=out, stderr=subprocess.STDOUT, env=hosts.environment)

        def says():
            with open(out.name, encoding="utf-8") as f:
                words = f.read()
            if listener.poll() is not None:
                raise Failed(f"the listener ended: {words.strip()}")
            port = re.search(r"port (\d+)", words)
            return int(port[1]) if port else None

        wait_until(20, "the listener", says)
        out.close()
        return listener, says()

    def move(self, bout, codec, hosts, more=()):
        """(events, CPU seconds) of one migration; more are options."""
        secure = [] if bout.tls else ["--insecure"]
        listener, port = self.listen(hosts, secure)
        before = ended_cpu_s() + process_cpu_s(listener.pid)
        options = ["--lanes", str(bout.lanes), "--json", "--compress",
                   "none" if codec == "off" else codec, *secure, *more]
        if bout.link:
            options += ["--bandwidth", bout.link]
        said = run(hosts.xmigrate(hosts.names[0], "--live", f"{hosts.address}:{port}", GUEST, *options),
                   seconds=MOVE_SECONDS, env=hosts.environment)
        # The receiver ends as the guest's monitor, which is then in nobody's way.
        wait_until(10, "the receiver", lambda: any(
            "--monitor" in command_line(p) for p in children(listener.pid)))
        listener.terminate()
        listener.wait(20)
        end_children(keep=self.bench.daemons())
        return [json.loads(line) for line in said.splitlines()], ended_cpu_s() - before

    def turn(self, bout, codec):
        hosts = self.bench.hosts
        events, cpu_s = self.move(bout, codec, hosts)
        hosts.moved()
        first = next(e for e in events if e["event"] == "round")
        ready = next(e for e in events if e["event"] == "ready")
        done = events[-1]
        seconds = (ready["elapsed_ns"] - first["elapsed_ns"] + first["duration_ns"]) / 1e9
        return turn_of(size_bytes(bout.size), seconds, cpu_s, done["wire_bytes"],
                       done["total_ns"] / 1e9)


class Mappings(Player):
    """The simulator's own part, alone: all of the guest's pages are mapped, touched and unmapped once
    to be read and once to be written to, at the same time, by as many threads as there are lanes. On
    xensim that is an mmap for each run of frames that do not lie side by side; Xen needs none."""

    BATCH_PAGES = 1024  # as lanes map them
    FIRST_FRAME, LAST_FRAMES = 256, 64  # below and above may be no memory

    def settings(self):
        return "mappings: xensim's mapping of the same pages at both ends, alone"

    def turn(self, bout, _codec):
        hosts = self.bench.hosts
        domid = hosts.xensim("id", hosts.names[0], GUEST).strip()
        pages = size_bytes(bout.size) // 4096
        frames = "".join(f"{f}\n" for f in range(self.FIRST_FRAME, pages - self.LAST_FRAMES))
        before = ended_cpu_s()
        ends = [spawn_talking(hosts.program(
            hosts.names[0], f"{self.bench.build}/xensim-mappings", domid, access, str(bout.lanes),
            str(self.BATCH_PAGES)), hosts.environment) for access in ("read", "write")]
        try:
            for end in ends:
                end.stdin.write(frames + "\n")
                end.stdin.flush()
            if any(end.stdout.readline() != "ready\n" for end in ends):
                raise Failed("the mappings did not begin")
            before += sum(process_cpu_s(end.pid) for end in ends)
            for end in ends:
                end.stdin.write("go\n")
                end.stdin.flush()
            seconds = max(int(end.communicate(timeout=MOVE_SECONDS)[0]) for end in ends) / 1e9
        finally:
            for end in ends:
                end.kill()
                end.wait()
        return turn_of(size_bytes(bout.size), seconds, ended_cpu_s() - before)


class Stock(Player):
    """Debian's libxl-save-helper at both ends, a socket pair between them."""

    def __init__(self, bench):
        super().__init__(bench)
        self.helper = f"{bench.top}/build/xen-utils/usr/lib/xen-4.17/bin/libxl-save-helper"

    def check(self, _bout, _codec):
        if not os.access(self.helper, os.X_OK):
            raise Unavailable("Xen's own save helper is not there: make stock-helper")

    def migrate(self, hosts, helper, **environment):
        """Seconds from its first page until the destination's helper has ended."""
        said = run([f"{self.bench.build}/xensim", "migrate", hosts.names[0], GUEST, hosts.names[1],
                    "--live", "--time", "--helper", helper], seconds=MOVE_SECONDS,
                   env=dict(hosts.environment, **environment))
        return int(said.split()[1]) / 1e9

    def settings(self):
        return "stock: libxl-save-helper of Debian's Xen 4.17, through a socket pair"

    def turn(self, bout, _codec):
        hosts = self.bench.hosts
        before = ended_cpu_s()
        seconds = self.migrate(hosts, self.helper)
        end_children(keep=self.bench.daemons())
        cpu_s = ended_cpu_s() - before
        hosts.moved()
        return turn_of(size_bytes(bout.size), seconds, cpu_s, 0, seconds)


class StockOpenssl(Stock):
    """The same through `openssl s_client | openssl s_server`, as xl goes through ssh."""

    def settings(self):
        return ("stock-openssl: the same through openssl s_client and s_server, AES-128-GCM, one "
                "connection")

    SUITE = ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]

    def check(self, bout, codec):
        super().check(bout, codec)
        if not shutil.which("openssl"):
            raise Unavailable("the openssl program is not there")

    def certificate(self):
        key, cert = self.bench.work.path("pipe-key.pem"), self.bench.work.path("pipe-cert.pem")
        if not os.path.exists(cert):
            run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                 "-subj", "/CN=bench"])
        return ["-key", key, "-cert", cert]

    def pipe_ends(self):
        """FIFOs that openssl reads the sender's stream from and writes it to the receiver."""
        ends = [self.bench.work.path(n) for n in ("pipe-out", "pipe-in")]
        for path in ends:
            if os.path.exists(path):
                os.unlink(path)
            os.mkfifo(path)
        return ends

    def start_pipe(self, out, into):
        port = str(free_port())
        quiet = subprocess.DEVNULL
        # Both ways, so that no end of a FIFO waits for the other or is ever at its end.
        source, sink = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in (out, into))
        idle_read, idle_write = os.pipe()  # at the end of its input the server would hang up
        server = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-naccept", "1", "-quiet",
             *self.SUITE, *self.certificate()], stdin=idle_read, stdout=sink, stderr=quiet)
        wait_until(10, "openssl s_server", lambda: is_listening(port))
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", *self.SUITE],
            stdin=source, stdout=quiet, stderr=quiet)
        for fd in (source, sink, idle_read):
            os.close(fd)
        return server, client, idle_write

    def turn(self, bout, codec):
        hosts = self.bench.hosts
        out, into = self.pipe_ends()
        before = ended_cpu_s()
        server, client, idle = self.start_pipe(out, into)
        before += process_cpu_s(server.pid) + process_cpu_s(client.pid)
        try:
            seconds = self.migrate(hosts, f"{self.bench.top}/perf/through-fifo",
                                   BENCH_HELPER=self.helper, BENCH_OUT=out, BENCH_IN=into)
        finally:
            os.close(idle)
            for process in (client, server):
                process.terminate()
                process.wait(20)
        end_children(keep=self.bench.daemons())
        cpu_s = ended_cpu_s() - before
        hosts.moved()
        return turn_of(size_bytes(bout.size), seconds, cpu_s, 0, seconds)


def is_listening(port):
    """Does somebody listen there? Without connecting, which would be the one it takes."""
    wanted = f"0100007F:{int(port):04X}"
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(line.split()[1] == wanted and line.split()[3] == "0A" for line in f
                   if ":" in line.split()[1])


class Qmp:
    """QEMU's control socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(MOVE_SECONDS)
        wait_until(60, "QEMU's control socket", lambda: self.try_connect(path))
        self.file = self.sock.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.status_at_us = {}  # when a migration became what
        self("qmp_capabilities")

    def try_connect(self, path):
        try:
            self.sock.connect(path)
        except OSError:
            return False
        return True

    def __call__(self, command, **arguments):
        words = {"execute": command, "arguments": arguments}
        self.file.write(json.dumps(words) + "\n")
        self.file.flush()
        while True:
            said = self.read(command)
            if "return" in said:
                return said["return"]

    def read(self, why):
        said = json.loads(self.file.readline() or '{"error": {"desc": "QEMU ended"}}')
        if "error" in said:
            raise Failed(f"QEMU: {why}: {said['error']['desc']}")
        if said.get("event") == "MIGRATION":
            at = said["timestamp"]
            self.status_at_us.setdefault(said["data"]["status"],
                                         at["seconds"] * 10**6 + at["microseconds"])
        return said

    def await_completed(self):
        """Without asking again and again, which would cost it time."""
        while "completed" not in self.status_at_us:
            self.read("migration")
            if "failed" in self.status_at_us:
                raise Failed("QEMU's migration failed")

    def close(self):
        self.file.close()
        self.sock.close()


class Qemu(Player):
    """A stopped guest under TCG with the same content: multifd with as many channels as we have
    lanes, huge pages that were touched at both ends, TLS with our cipher."""

    CIPHER = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM"

    def __init__(self, bench):
        super().__init__(bench)
        self.image = None  # (content, size) that the file holds
        # That of perf/get-qemu, or the installed one.
        self.dir = f"{bench.top}/build/qemu/usr"
        self.program = f"{self.dir}/bin/qemu-system-x86_64"
        if not os.access(self.program, os.X_OK):
            self.program = shutil.which("qemu-system-x86_64")

    def settings(self):
        version = run([self.program, "--version"]).split("(")[0].strip()
        return (f"qemu: {version}, multifd with a channel for each lane, zero pages found by the "
                "channels (from 9.0 on), huge pages touched at both ends, AES-128-GCM, no cap")

    def check(self, _bout, codec):
        if codec not in ("off", "zstd"):
            raise Unavailable(f"QEMU's multifd has no {codec}")
        if not self.program:
            raise Unavailable("qemu-system-x86_64 is not there: make bench-peers")
        if not shutil.which("openssl"):
            raise Unavailable("the openssl program is not there")

    def credentials(self):
        """An authority and one certificate, for both ends, where QEMU looks for them."""
        path = self.bench.work.path("qemu-tls")
        if os.path.exists(path):
            return path
        os.mkdir(path)
        new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-x509"]
        run([*new, "-keyout", f"{path}/ca-key.pem", "-out", f"{path}/ca-cert.pem", "-subj",
             "/CN=bench authority"])
        run([*new, "-CA", f"{path}/ca-cert.pem", "-CAkey", f"{path}/ca-key.pem", "-keyout",
             f"{path}/server-key.pem", "-out", f"{path}/server-cert.pem", "-subj", "/CN=bench",
             "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"])
        for what in ("key", "cert"):
            shutil.copy(f"{path}/server-{what}.pem", f"{path}/client-{what}.pem")
        return path

    def content(self, bout):
        path = os.path.join(self.bench.work.memory(), "guest")
        if self.image != (bout.content, bout.size):
            run([f"{self.bench.build}/perf/content", CONTENTS[bout.content],
                 str(size_bytes(bout.size) // MIB), path])
            self.image = (bout.content, bout.size)
        return path

    def start(self, bout, end):
        control = self.bench.work.path(f"qmp-{end}")
        if os.path.exists(control):
            os.unlink(control)
        if end == "client":
            path, more = self.content(bout), []
        else:
            path, more = os.path.join(self.bench.work.memory(), "arrived"), ["-incoming", "defer"]
        command = [self.program, *self.data_dirs(), "-nodefaults", "-no-user-config", "-display", "none", "-accel",
                   "tcg", "-S", "-m", str(size_bytes(bout.size) // MIB), "-object",
                   f"memory-backend-file,mem-path={path},share=on,prealloc=on,id=ram,"
                   f"size={bout.size}", "-machine", "pc,memory-backend=ram",
                   "-qmp", f"unix:{control},server=on,wait=off", *more]
        if bout.tls:
            command += ["-object", f"tls-creds-x509,id=tls,dir={self.credentials()},"
                        f"endpoint={end},verify-peer=on,priority={self.CIPHER}"]
        process = spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return process, Qmp(control)

    def data_dirs(self):
        if not self.program.startswith(self.dir):
            return []
        return ["-L", f"{self.dir}/share/qemu", "-L", f"{self.dir}/share/seabios"]

    def configure(self, qmp, bout, codec):
        qmp("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": True} for name in ("multifd", "events")])
        parameters = {"multifd-channels": bout.lanes, "max-bandwidth": 1 << 40,
                      "multifd-compression": "none" if codec == "off" else codec}
        if "zero-page-detection" in qmp("query-migrate-parameters"):
            parameters["zero-page-detection"] = "multifd"
        if bout.tls:
            parameters["tls-creds"] = "tls"
        qmp("migrate-set-parameters", **parameters)

    def turn(self, bout, codec):
        ends = [self.start(bout, end) for end in ("client", "server")]
        try:
            return self.migrate(bout, codec, ends)
        finally:
            for process, qmp in ends:
                qmp.close()
                process.kill()
                process.wait()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.bench.work.memory(), "arrived"))

    def migrate(self, bout, codec, ends):
        (source, from_qmp), (destination, to_qmp) = ends
        at = f"tcp:127.0.0.1:{free_port()}"
        for qmp in (from_qmp, to_qmp):
            self.configure(qmp, bout, codec)
        to_qmp("migrate-incoming", uri=at)
        pids = (source.pid, destination.pid)
        before = sum(map(process_cpu_s, pids))
        from_qmp("migrate", uri=at)
        for qmp in (from_qmp, to_qmp):
            qmp.await_completed()
        cpu_s = sum(map(process_cpu_s, pids)) - before
        info = from_qmp("query-migrate")
        ends = [qmp.status_at_us["completed"] for qmp in (from_qmp, to_qmp)]
        seconds = (max(ends) - from_qmp.status_at_us["active"]) / 1e6
        # With compression it counts the bytes before it.
        wire_bytes = info["ram"]["transferred"] if codec == "off" else 0
        return turn_of(size_bytes(bout.size), seconds, cpu_s, wire_bytes, info["total-time"] / 1e3)


PLAYERS = {"floor": Floor, "xmigrate": Xmigrate, "stock": Stock, "stock-openssl": StockOpenssl,
           "qemu": Qemu, "mappings": Mappings}
