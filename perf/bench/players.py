# SPDX-License-Identifier: MIT
"""Those who take turns. Each has turn(bout, codec), which moves the bout's guest once.

Seconds are of the memory: for xmigrate from its first page until the destination has built all of
it, for the stock helper its whole run, for QEMU what it says itself. CPU is of both ends and of
every process that belongs to a player: the benchmark waits for all of them and asks the kernel.
What starts before a move and serves many (a listener, QEMU with its memory) is counted from the
beginning of the move. xensim's daemons are not counted: they stand for the hypervisor.
"""
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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Player:
    def __init__(self, bench):
        self.bench = bench

    def check(self, bout, codec):
        """Unavailable if it cannot take part."""

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


class Stock(Player):
    """Debian's libxl-save-helper at both ends, a socket pair between them."""

    def __init__(self, bench):
        super().__init__(bench)
        self.helper = f"{bench.top}/build/xen-utils/usr/lib/xen-4.17/bin/libxl-save-helper"

    def check(self, _bout, _codec):
        if not os.access(self.helper, os.X_OK):
            raise Unavailable("Xen's own save helper is not there: make stock-helper")

    def migrate(self, hosts, helper, **environment):
        run([f"{self.bench.build}/xensim", "migrate", hosts.names[0], GUEST, hosts.names[1],
             "--live", "--helper", helper], seconds=MOVE_SECONDS,
            env=dict(hosts.environment, **environment))

    def turn(self, bout, _codec):
        hosts = self.bench.hosts
        before = ended_cpu_s()
        begin = time.monotonic()
        self.migrate(hosts, self.helper)
        seconds = time.monotonic() - begin
        end_children(keep=self.bench.daemons())
        cpu_s = ended_cpu_s() - before
        hosts.moved()
        return turn_of(size_bytes(bout.size), seconds, cpu_s, 0, seconds)


class StockOpenssl(Stock):
    """The same through `openssl s_client | openssl s_server`, as xl goes through ssh."""

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
        begin = time.monotonic()
        try:
            self.migrate(hosts, f"{self.bench.top}/perf/through-fifo", BENCH_HELPER=self.helper,
                         BENCH_OUT=out, BENCH_IN=into)
            seconds = time.monotonic() - begin
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
        self.sock.settimeout(60)
        wait_until(60, "QEMU's control socket", lambda: self.try_connect(path))
        self.file = self.sock.makefile("rw", encoding="utf-8")
        self.file.readline()
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
            said = json.loads(self.file.readline() or '{"error": {"desc": "QEMU ended"}}')
            if "error" in said:
                raise Failed(f"QEMU: {command}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]

    def close(self):
        self.file.close()
        self.sock.close()


class Qemu(Player):
    """A stopped guest under TCG with the same content; multifd, memory touched at both ends."""

    PROGRAM = "qemu-system-x86_64"

    def __init__(self, bench):
        super().__init__(bench)
        self.image = None  # (content, size) that the file holds

    def check(self, _bout, codec):
        if codec not in ("off", "zstd"):
            raise Unavailable(f"QEMU's multifd has no {codec}")
        if not shutil.which(self.PROGRAM):
            raise Unavailable(f"{self.PROGRAM} is not installed")
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
            memory = f"memory-backend-file,mem-path={self.content(bout)},share=on"
            more = []
        else:
            memory = "memory-backend-memfd,share=on,prealloc=on"
            more = ["-incoming", "defer"]
        command = [self.PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-accel",
                   "tcg", "-S", "-m", str(size_bytes(bout.size) // MIB), "-object",
                   f"{memory},id=ram,size={bout.size}", "-machine", "pc,memory-backend=ram",
                   "-qmp", f"unix:{control},server=on,wait=off", *more]
        if bout.tls:
            command += ["-object", f"tls-creds-x509,id=tls,dir={self.credentials()},"
                        f"endpoint={end},verify-peer=on"]
        process = spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return process, Qmp(control)

    def configure(self, qmp, bout, codec):
        qmp("migrate-set-capabilities",
            capabilities=[{"capability": "multifd", "state": True}])
        parameters = {"multifd-channels": bout.lanes, "max-bandwidth": 1 << 40,
                      "multifd-compression": "none" if codec == "off" else codec}
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

    def migrate(self, bout, codec, ends):
        (source, from_qmp), (destination, to_qmp) = ends
        at = f"tcp:127.0.0.1:{free_port()}"
        for qmp in (from_qmp, to_qmp):
            self.configure(qmp, bout, codec)
        to_qmp("migrate-incoming", uri=at)
        pids = (source.pid, destination.pid)
        before = sum(map(process_cpu_s, pids))
        from_qmp("migrate", uri=at)

        def state(qmp):
            said = qmp("query-migrate").get("status")
            if said == "failed":
                raise Failed("QEMU's migration failed")
            return said

        for qmp in (from_qmp, to_qmp):
            wait_until(MOVE_SECONDS, "QEMU's migration",
                       lambda qmp=qmp: time.sleep(0.05) or state(qmp) == "completed")
        cpu_s = sum(map(process_cpu_s, pids)) - before
        info = from_qmp("query-migrate")
        seconds = (info["total-time"] - info.get("setup-time", 0)) / 1e3
        # With compression it counts the bytes before it.
        wire_bytes = info["ram"]["transferred"] if codec == "off" else 0
        return turn_of(size_bytes(bout.size), seconds, cpu_s, wire_bytes, info["total-time"] / 1e3)


PLAYERS = {"floor": Floor, "xmigrate": Xmigrate, "stock": Stock, "stock-openssl": StockOpenssl,
           "qemu": Qemu}
