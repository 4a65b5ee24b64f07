#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hostile_source.py PORT CASE: a source that lies, stops or dies, to a listener with --insecure.

Prints what the destination answered last: the frame's type and, for JSON, its text. asks-... may
also be accepted, and then dies.
"""
import hashlib
import hmac
import json
import socket
import struct
import sys

(HELLO, OFFER, ACCEPT, REFUSE, DATA, READY, GO, STARTED, FAILED, PING, ABORT, END,
 HEARD) = range(1, 14)
NAMES = dict(zip(range(1, 14), "HELLO OFFER ACCEPT REFUSE DATA READY GO STARTED FAILED PING ABORT "
                               "END HEARD".split()))
UUID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
HEAD = b"LibxlFmt" + struct.pack(">II", 2, 0) + struct.pack("<II", 1, 0)


def crc32c(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Lane:
    """With the checksum that --insecure wants behind each record."""

    def __init__(self, sock, proof):
        self.sock, self.sent = sock, bytearray(proof)

    def record(self, kind, body, wrong=0):
        self.sock.sendall(self.encode(kind, body, wrong))

    def encode(self, kind, body, wrong=0):
        start = len(self.sent)
        self.sent += struct.pack("<II", kind, len(body)) + body
        self.sent += struct.pack("<I", crc32c(self.sent) ^ wrong)
        return bytes(self.sent[start:])


MAJOR = 3  # version of the wire


def config(**b_info):
    return {"c_info": {"type": "pvh", "name": "g", "uuid": UUID},
            "b_info": {"max_vcpus": 1, "max_memkb": 65536, "target_memkb": 65536, "type.pvh": {},
                       **b_info}}


# What reaches the host, by its class.
ASKS = {
    "iomem": config(iomem=[{"start": 0xa0, "number": 1}]),
    "ioports": config(ioports=[{"first": 0x3f8, "number": 8}]),
    "irqs": config(irqs=[5]),
    "dtdevs": {**config(), "dtdevs": [{"path": "/x"}]},
    "p9s": {**config(), "p9s": [{"tag": "t", "path": "/", "security_model": "none"}]},
    "vdispls": {**config(), "vdispls": [{"backend_domname": "x"}]},
    "channels": {**config(), "channels": [{"connection.socket": {"path": "/s"}}]},
    "usbctrls": {**config(), "usbctrls": [{"type": "pv"}]},
    "label": {**config(), "c_info": {**config()["c_info"], "ssid_label": "system_u:dom0"}},
    "model": config(device_model="/tmp/anything"),
    "model-args": config(extra=["-chardev"]),
    "kernel": config(kernel="/etc/shadow"),
    "ramdisk": config(ramdisk="/etc/shadow"),
    "bootloader": config(bootloader="/tmp/anything"),
    "shim": config(**{"type.pvh": {"pvshim_path": "/tmp/anything"}}),
    "vif-script": {**config(), "nics": [{"script": "/tmp/anything", "bridge": "xenbr0"}]},
    "disk-script": {**config(), "disks": [{"script": "../../../tmp/anything"}]},
    "disk": {**config(), "disks": [{"pdev_path": "/dev/sda", "vdev": "xvda"}]},
    "disk-tty": {**config(), "disks": [{"pdev_path": "/dev/pts/ptmx", "vdev": "xvda"}]},
    "disk-backend": {**config(), "disks": [{"backend_domname": "x"}]},
    "bridge": {**config(), "nics": [{"bridge": "br-mgmt"}]},
    "vnc": {**config(), "vfbs": [{"vnc": {"enable": "True", "listen": "0.0.0.0"}}]},
    "vcpus": config(max_vcpus=129),
    "memory": config(max_memkb=131072, target_memkb=131072),
}


def offer(**change):
    body = {"name": "g", "uuid": UUID, "type": "pvh", "live": True, "early": True, "lanes": 2, "paused": False, "domid": 0,
            "config": json.dumps(config())}
    body.update(change)
    return body


# What a guest owns beside its memory: two persistent pages, of pool 2.
TMEM = struct.pack("<IIQIIQQ", 1, 0, 2, 2, 1, 0, 0)


def aux_source(name=b"tmem", entries=4, head=TMEM, flags=0):
    return struct.pack("<II16sIIQQ", 0, flags, name, 1, len(head), entries, entries * 4096) + head


def aux(*indices, pool=2, withdrawn=False):
    """An AUX record's body: pages of an object."""
    size = 0 if withdrawn else 4096
    keys = b"".join(struct.pack("<II24xII", pool, i, withdrawn, size) for i in indices)
    return struct.pack("<II", 0, len(indices)) + keys + bytes(size * len(indices))


class Source:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.sendall(b"\x8fxmigr\r\n" + struct.pack("<HHHH", MAJOR, 0, 1, 0xffff) + bytes(16))
        self.sum = 0
        self.exactly(16)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def say(self, kind, body=b"", length=None):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        said = struct.pack("<HHI", kind, 0, len(body) if length is None else length) + body
        self.sum = crc32c(said, self.sum)
        said += struct.pack("<I", self.sum)
        self.sum = crc32c(said[-4:], self.sum)
        self.sock.sendall(said)

    def hear(self):
        while True:
            kind, _, length = struct.unpack("<HHI", self.exactly(8))
            body = self.exactly(length)
            self.exactly(4)
            if kind != PING:
                return kind, body

    def until_accept(self, **change):
        self.say(HELLO, {"major": MAJOR, "minor": 0, "max_lanes": 64})
        self.say(OFFER, offer(**change))
        while True:
            kind, body = self.hear()
            if kind == ACCEPT:
                return json.loads(body)
            if kind != HELLO:
                sys.exit("not accepted: %s %r" % (NAMES[kind], body))

    def open_lane(self, port, accept, lane):
        """Its proof is right; what comes then need not be."""
        session, key = bytes.fromhex(accept["session"]), bytes.fromhex(accept["key"])
        named = b"xmigrate lane token" + session + struct.pack("<H", lane)
        token = hmac.new(key, named, hashlib.sha256).digest()[:16]
        sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        sock.sendall(b"\x8fxmigr\r\n" + struct.pack("<HHHH", MAJOR, 0, 1, lane) + token)
        said = b"xmigrate lane client" + session + struct.pack("<H", lane) + bytes(32)
        sock.recv(16, socket.MSG_WAITALL)
        proof = hmac.new(key, said, hashlib.sha256).digest()
        sock.sendall(proof)
        sock.recv(32, socket.MSG_WAITALL)
        return Lane(sock, proof)

    def measure(self, port, case):
        self.say(HELLO, {"major": MAJOR, "minor": 0, "max_lanes": 64})
        self.say(OFFER, offer(measure=5 if case == "measure-nonsense" else True))
        if case == "measure-nonsense":
            return
        kind = None
        while kind != ACCEPT:
            kind, body = self.hear()
        if case == "measure-silent":
            return
        accept = json.loads(body)
        lanes = [self.open_lane(port, accept, lane) for lane in
                 ((0, 7) if case == "measure-other-lane" else range(accept["lanes"]))]
        self.lanes = lanes  # open until the end
        if case == "measure-pages":
            lanes[1].record(0x12, bytes(4096))
            lanes[1].record(0x10, bytes(4096))
        elif case == "measure-huge":
            lanes[0].record(0x12, bytes(4096))
            lanes[0].sock.sendall(struct.pack("<II", 0x12, 1 << 24))
        elif case == "measure-flipped":
            lanes[0].record(0x12, bytes(4096), wrong=0x100)
        elif case == "measure-dies":
            rest = lanes[1].encode(0x12, bytes(4096)) + lanes[1].encode(0x13, b"")
            lanes[0].record(0x12, bytes(4096))
            lanes[0].sock.close()
            lanes[1].sock.sendall(rest)

    def open_all(self, port, *more):
        """Lanes and the trunk, with what comes before memory, and more of that."""
        accept = self.until_accept(early=False)
        self.say(DATA, HEAD)
        self.lanes = [self.open_lane(port, accept, lane) for lane in range(accept["lanes"])]
        self.trunk = trunk = self.open_lane(port, accept, 0xfffe)
        trunk.record(1, struct.pack("<IIIIIIQQ", 2, 0, 4, 17, accept["lanes"], 0, 16384, 16384))
        for kind, body in more:
            trunk.record(kind, body)
        trunk.record(2, struct.pack("<II", 0x10, 0))  # STATIC_DATA_END
        return trunk

    def auxiliary(self, port, case):
        """A source of auxiliary data that lies."""
        source = {"aux-unknown": aux_source(b"other"),
                  "aux-boasts": aux_source(entries=1 << 40),
                  "aux-optional": aux_source(b"other", flags=1),
                  "aux-floods": aux_source(entries=1),
                  "aux-head": aux_source(head=TMEM[:-1])}.get(case, aux_source())
        trunk = self.open_all(port, (8, source))
        trunk.record(3, struct.pack("<QQII", 0, 0, 0, 0))
        lane = self.lanes[0]
        if case == "aux-late":
            for each in self.lanes:
                each.record(0x15, struct.pack("<Q", 1))
            lane.record(0x11, bytes(32))
        batch = {"aux-withdraws": aux(5, withdrawn=True),
                 "aux-repeats": aux(7, 7),
                 "aux-elsewhere": aux(0, pool=9)}.get(case, aux(0, 1))
        lane.record(0x16, batch)
        if case not in ("aux-counts", "aux-optional"):
            return
        for each in self.lanes:
            each.record(0x15, struct.pack("<Q", 1))
            each.record(0x11, bytes(32))
            each.sock.shutdown(socket.SHUT_WR)
        trunk.record(4, struct.pack("<II", len(self.lanes), 0) + bytes(32) * len(self.lanes))
        trunk.record(9, struct.pack("<IIQQQQ", 0, 0, 1, 3, 0, 3 * 4096))

    def prepare(self, port):
        """A PREPARE that ACCEPT did not allow."""
        trunk = self.open_all(port)
        trunk.record(2, struct.pack("<IIIIQQ", 0x0a, 0, 1, 0, 1, 0x3000))  # HVM_PARAMS: the store
        trunk.record(3, struct.pack("<QQII", 0, 0, 0, 0))
        trunk.record(7, b"")

    def last(self, until=REFUSE):
        kind, body = None, b""
        try:
            while kind not in (REFUSE, FAILED, until):
                kind, body = self.hear()
        except (EOFError, ConnectionError):
            pass
        print(NAMES.get(kind), json.loads(body).get("text", "") if body else "")


def run(case, port):
    s = Source(port)
    hello = {"major": MAJOR, "minor": 0, "max_lanes": 64}
    if case == "other-version":
        s.say(HELLO, {**hello, "major": MAJOR + 1})
    elif case == "no-json":
        s.say(HELLO, b"\xff\xfe{")
    elif case == "huge-frame":
        s.say(HELLO, b"{}", length=0xfffffff0)
    elif case == "unknown-frame":
        s.say(77, b"what")
    elif case == "go-first":
        s.say(HELLO, hello)
        s.say(GO)
    elif case.startswith("offer-"):
        s.say(HELLO, hello)
        s.say(OFFER, {
            "offer-no-uuid": offer(uuid="x"),
            "offer-slash": offer(name="../g"),
            "offer-no-lanes": offer(lanes=0),
            "offer-nonsense": offer(config="{nonsense"),
            "offer-other-name": offer(name="h"),
            "offer-other-uuid": offer(uuid=UUID[:-1] + "1"),
            "offer-huge-memory": offer(config=json.dumps(config(max_memkb=1 << 40,
                                                                target_memkb=1 << 40))),
            "offer-vnuma": offer(config=json.dumps(config(vnuma_nodes=[{"memkb": 65536}]))),
            "offer-stub-domain": offer(config=json.dumps(config(device_model_stubdomain="True"))
                                       .replace("pvh", "hvm")),
            "offer-pci": offer(config=json.dumps({**config(), "pcidevs": [{"dev": 1}]})),
        }[case])
    elif case.startswith("asks-"):
        s.say(HELLO, hello)
        s.say(OFFER, offer(config=json.dumps(ASKS[case[5:]])))
    elif case.startswith("measure-"):
        s.measure(port, case)
    elif case == "prepare-unasked":
        s.prepare(port)
    elif case.startswith("aux-"):
        s.auxiliary(port, case)
    else:
        s.until_accept()
        if case == "dies":
            s.sock.close()
            return
        if case == "bad-head":
            s.say(DATA, b"GarbageX" + HEAD[8:])
        elif case == "short-head-dies":
            s.say(DATA, HEAD[:10])
            s.sock.close()
            return
        elif case == "head-ends":
            s.say(DATA, HEAD)
            s.say(END)
        elif case == "head-dies":
            s.say(DATA, HEAD)
            s.sock.close()
            return
        elif case == "go-early":
            s.say(DATA, HEAD)
            s.say(GO)
        elif case == "aborts":
            s.say(DATA, HEAD)
            s.say(ABORT, {"class": "guest", "side": "source", "text": "thought again", "code": 5})
        elif case == "second-offer":
            s.say(OFFER, offer())
        elif case != "silent":
            sys.exit("no case " + case)
    s.last(ACCEPT if case.startswith("asks-") else REFUSE)


run(sys.argv[2], int(sys.argv[1]))
