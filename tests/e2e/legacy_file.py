#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files of a Xen before 4.6, written from their layout alone (docs/file.md), and what they mean.

    legacy_file.py make FILE [KEY=VALUE...]   write one, and the guest that is in it to FILE.guest
    legacy_file.py guest FILE [FORGET]        the guest in a file of a later Xen, on standard output;
                                              without the frames that FORGET, a FILE.guest, calls unmapped
    legacy_file.py age FILE OUT tools=32|64   a file of a later Xen as an old one would have written it
    legacy_file.py stream FILE OUT            FILE without xl's front, as the stock converter can read it
    legacy_file.py verify FILE                as verify-stream-v2 does, which takes bytes for text in one place
    legacy_file.py list KEY=VALUE...          where each part begins, and its name
    legacy_file.py flip FILE OUT XMIGRATE KEY=VALUE...
                                              OUT is FILE with a bit wrong, in turn at each part's beginning: what
                                              XMIGRATE --export makes of it is one line, or a whole file
    legacy_file.py seeds DIR [blank=1]        small ones of each kind; mostly zeros

FORGET is FILE.guest of the old file. KEY=VALUE: tools=32|64 type=pv|hvm guest=32|64 frames=N pages=N config=json|text seed=N, and these with 1:
live, verify, toolstack, xsave, remus (checkpoints, compressed), tmem=persistent|ephemeral|empty,
late_tmem, no_vcpu_info, all_params, old_qemu, unknown_block, sparse (frames at the end).
"""
import hashlib
import itertools
import json
import os
import random
import struct
import subprocess
import sys

MAGIC = b"Xen saved domain, xl format\n \0 \r"
PAGE = 4096
XTAB, XALLOC, BROKEN = 0xF, 0xE, 0xD
BASIC = {32: 0xAF0, 64: 0x1430}
# Marker, HVM parameter.
PARAMS = {-3: 12, -4: 15, -8: 17, -10: 19, -11: 9, -14: 34, -15: 27, -16: 28, -17: 29, -19: 32, -20: 33}


def digest(b):
    return hashlib.sha256(b).hexdigest()


class Writer:
    def __init__(self, **o):
        self.o = o
        self.tools, self.type, self.guest = int(o.get("tools", 64)), o.get("type", "pv"), int(o.get("guest", 64))
        self.frames, self.pages = int(o.get("frames", 64)), int(o.get("pages", 24))
        self.rng = random.Random(int(o.get("seed", 1)))
        self.out, self.parts, self.at = [], [], 0
        self.memory, self.params, self.unmapped, self.verified = {}, {}, [], False

    def put(self, b, name=None):
        if name:
            self.parts.append((self.at, name))
        self.out.append(b)
        self.at += len(b)

    def ulongs(self, *values):
        return struct.pack("<%d%s" % (len(values), "I" if self.tools == 32 else "Q"), *values)

    def has(self, key):
        return self.o.get(key, "0") not in ("0", "")

    def noise(self, n):
        return (bytes([self.rng.randrange(1, 256)]) + bytes(n))[:n] if self.has("blank") else self.rng.randbytes(n)

    def random_page(self):
        if self.rng.random() < 0.2:
            return bytes(PAGE)
        return self.noise(100) + self.noise(PAGE - 100)

    # ---- xl's front ----

    def front(self):
        uuid = [self.rng.randrange(256) for _ in range(16)]
        if self.o.get("config", "json") == "json":
            b_type = "hvm" if self.type == "hvm" else "pv"
            conf = {"c_info": {"type": b_type, "name": "old", "uuid": "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x" % tuple(uuid)},
                    "b_info": {"max_vcpus": 3, "max_memkb": self.frames * 4, "type.%s" % b_type: {}}}
            conf, flags = json.dumps(conf).encode() + b"\0", 1
        else:
            conf, flags = b'name = "old"\nmemory = 64\n', 0
        optional = struct.pack("<I", len(conf)) + conf
        self.put(MAGIC + struct.pack("<4I", 0x01020304, flags, 0, len(optional)), "header")
        self.put(optional, "config")
        self.config = digest(optional)

    # ---- the head ----

    def head(self):
        self.put(self.ulongs(self.frames), "length")
        if self.type == "pv":
            self.extended_info()
            per_frame = PAGE // (self.guest // 8)
            self.p2m = [self.rng.randrange(self.frames) for _ in range((self.frames - 1) // per_frame + 1)]
            self.put(self.ulongs(*self.p2m), "p2m")

    def extended_info(self):
        self.xsave = 0x240 + 0x40 if self.has("xsave") else 0
        blocks = b"vcpu" + struct.pack("<I", BASIC[self.guest]) + self.noise(BASIC[self.guest])
        blocks += b"extv" + struct.pack("<I", 0)
        if self.has("unknown_block"):
            blocks += b"zzzz" + struct.pack("<I", 7) + b"unknown"
        if self.xsave:
            blocks += b"xcnt" + struct.pack("<II", 4, self.xsave + 16)
        self.put(self.ulongs((1 << self.tools) - 1) + struct.pack("<I", len(blocks)), "extended info")
        self.put(blocks, "blocks")

    # ---- chunks ----

    def marker(self, m):
        self.put(struct.pack("<i", m), "marker %d" % m)

    def pool(self, number, persistent, pages, gone=0):
        """gone: how many fewer than announced there are, and so a terminator."""
        bits = 1 if number == 3 else 0
        self.put(struct.pack("<3I", number, bits << 4 | (1 if persistent else 0) | 1 << 24, pages if persistent else 0) + self.noise(16),
                 "pool")
        for i in range(pages - gone if persistent else 0):
            self.put(struct.pack("<3QI", 7, i, 9, i * 3) + self.noise(PAGE << bits), "tmem page")
        if persistent and gone:
            self.put(b"\xff" * 24, "tmem terminator")

    def tmem(self, kind):
        self.marker(-5)
        self.put(struct.pack("<7I", 1, 16, 0xFFFFFFFF, 2, 0, 0, 0xFFFFFFFF))
        if kind == "persistent":
            self.pool(0, True, 2)
            self.pool(3, True, 3, gone=1)
        self.pool(1, False, 0)
        if kind == "empty":
            self.pool(2, True, 0)
        self.put(b"\xff" * 4, "end of pools")

    def late_tmem(self):
        self.marker(-6)
        for i in range(2):
            self.put(struct.pack("<I3QI", 1, 1, 2, 3, i), "flushed")
        self.put(b"\xff" * 4)

    def batch(self, entries, contents=True):
        """entries: (pfn, type, page)."""
        words = [(t << 28) | p for p, t, _ in entries]
        self.put(struct.pack("<i", len(words)), "batch %d" % len(words))
        self.put(self.ulongs(*words), "entries")
        for p, t, page in entries:
            if t < BROKEN and contents:
                self.put(page, "page")
            if t != XTAB and not self.verified:
                self.memory[p] = (t, page if t < BROKEN else b"")

    def without_memory(self, count):
        return list(itertools.islice((p for p in range(self.frames) if p not in self.memory), count))

    def choose(self, count):
        low = self.frames - count - 8 if self.has("sparse") else 0
        pfns = sorted(self.rng.sample(range(low, self.frames), count))
        types = [0, 0, 0, 0, 1, 2, 3, 4, 9, 0xA, 0xB, 0xC] if self.type == "pv" else [0]
        return [(p, self.rng.choice(types), self.random_page()) for p in pfns]

    def send(self, entries):
        """In batches of different lengths, with frames that cannot be mapped between."""
        while entries:
            n = self.rng.choice([1, 3, 7, 1024])
            part, entries = entries[:n], entries[n:]
            if n == 7:
                part = part + [(0, XTAB, None)] * 2
            self.batch(part)

    def vcpu_info(self):
        self.online = [0] if self.has("no_vcpu_info") else [0, 2, 65]
        if self.has("no_vcpu_info"):
            return
        self.marker(-2)
        self.put(struct.pack("<i2Q", 65, 1 | 1 << 2, 1 << 1))

    def tsc_info(self):
        self.tsc = [1, 2500000, 0x123456789A, 4]
        self.marker(-7)
        self.put(struct.pack("<IQII", self.tsc[0], self.tsc[2], self.tsc[1], self.tsc[3]))

    def hvm_params(self):
        for m, index in PARAMS.items():
            if index in (12, 17) or self.has("all_params"):
                self.params[index] = 1 if index == 19 else 0xFEFF0000 + index
                self.marker(m)
                self.put(struct.pack("<IQ", 0, self.params[index]))
        if self.has("fip"):
            self.params[36] = 8
            self.marker(-21)
            self.put(struct.pack("<IQ", 0, 8))

    def toolstack(self):
        self.physmap = b""
        body = b""
        for phys, start, size, name in ((0xF0000000, 0xA0000, 0x800000, b"vga.vram\0"), (0xFEF00000, 0, 0x1000, b"x\0")):
            body += struct.pack("<3QI", phys, start, size, len(name)) + name
            body += b"\0\0\0\0" if self.tools == 64 else b""
            for key, value in ((b"start_addr", b"%x" % start), (b"size", b"%x" % size), (b"name", name[:-1])):
                self.physmap += b"physmap/%x/%s\0%s\0" % (phys, key, value)
        body = struct.pack("<II", 1, 2) + body
        self.marker(-18)
        self.put(struct.pack("<I", len(body)) + body)

    # ---- a checkpoint, and compression ----

    def pack(self, old, new):
        """Runs of words that differ from the old page, which may be none."""
        if old is None:
            return b"\x80" + new
        if old == new:
            return b"\0"
        out, at = b"", 0
        while at < PAGE:
            end, same = at, old[at:at + 4] == new[at:at + 4]
            while end < PAGE and end - at < 127 * 4 and (old[end:end + 4] == new[end:end + 4]) == same:
                end += 4
            out += bytes([(0x80 if same else 0) | (end - at) // 4]) + (b"" if same else new[at:end])
            at = end
        return out if len(out) < PAGE else b"\x80" + new

    def change(self, page):
        page = bytearray(page)
        for _ in range(self.rng.randrange(1, 6)):
            at = self.rng.randrange(0, PAGE - 64)
            page[at:at + 32] = self.noise(32)
        return bytes(page)

    def packed_body(self):
        """Frames that changed, one that did not, one that is new, one only allocated."""
        known = [p for p, (t, _) in self.memory.items() if t < BROKEN]
        chosen = self.rng.sample(known, min(5, len(known)))
        free = self.without_memory(2)
        entries = [(p, self.memory[p][0], self.memory[p][1] if i == 0 else self.change(self.memory[p][1])) for i, p in enumerate(chosen)]
        entries.append((free[0], 0, self.random_page()))
        entries.append((free[1], XALLOC, b""))
        packed = b"".join(self.pack(self.memory.get(p, (0, None))[1], page) for p, t, page in entries if t < BROKEN)
        self.batch(entries[:3], contents=False)
        self.batch(entries[3:], contents=False)
        # Three chunks, of which one is empty, and one ends within a page.
        cut = len(packed) // 2
        for piece in (packed[:cut], b"", packed[cut:]):
            self.marker(-12)
            self.put(self.ulongs(len(piece)))
            self.put(piece, "compressed")

    def tail(self):
        if self.type == "pv":
            self.pv_tail()
        else:
            self.hvm_tail()

    def pv_tail(self):
        self.unmapped = self.without_memory(20)
        if self.has("live"):
            self.unmapped += sorted(self.memory)[:3]  # ballooned out after they were sent
        self.put(struct.pack("<I", len(self.unmapped)), "unmapped")
        self.put(self.ulongs(*self.unmapped), "unmapped frames")
        self.vcpus = {}
        for v in self.online:
            basic, extended, xsave = (self.noise(n) for n in (BASIC[self.guest], 128, self.xsave))
            self.vcpus[v] = [digest(basic), digest(extended), digest(xsave) if self.xsave else ""]
            self.put(basic + extended, "vcpu %d" % v)
            if self.xsave:
                self.put(struct.pack("<QQ", 7, self.xsave), "xsave")
                self.put(xsave)
        self.shared_info = self.noise(PAGE)
        self.put(self.shared_info, "shared info")

    def hvm_tail(self):
        self.params.update({5: 0xFEFF1, 6: 0xFEFF2, 1: 0xFEFFC})
        self.put(struct.pack("<3Q", 0xFEFF1, 0xFEFF2, 0xFEFFC), "magic pfns")
        self.context = self.noise(1234)
        self.put(struct.pack("<I", len(self.context)), "context")
        self.put(self.context)
        self.qemu = b"QEVM" + self.noise(777)
        if self.has("old_qemu"):
            self.put(b"QemuDeviceModelRecord" + self.qemu, "qemu")
        else:
            self.put(b"DeviceModelRecord0002" + struct.pack("<I", len(self.qemu)), "qemu")
            self.put(self.qemu)

    def all(self):
        self.front()
        self.head()
        if self.o.get("tmem"):
            self.tmem(self.o["tmem"])
        entries = self.choose(self.pages)
        if not self.has("live"):
            self.tsc_info()
        self.send(entries)
        if self.has("live"):  # some once more, and the clock after the suspend
            self.send([(p, t, self.change(page)) for p, t, page in entries[::3]])
            self.tsc_info()
        if not self.has("no_without"):  # frames without contents
            free = [p for p in range(max(0, self.frames - 64), self.frames) if p not in self.memory]
            self.batch([(free[0], XALLOC, b"")] + ([(free[1], BROKEN, b"")] if len(free) > 1 else []))
        if self.has("verify"):
            self.marker(-1)
            self.verified = True
            self.send([(p, t, page) for p, (t, page) in sorted(self.memory.items()) if t < BROKEN])
        if self.has("late_tmem"):
            self.late_tmem()
        self.vcpu_info()
        if self.type == "hvm":
            self.hvm_params()
        self.physmap = b""
        if self.has("toolstack"):
            self.toolstack()
        if self.has("remus"):
            self.marker(-13)
            self.marker(0)
            self.tail()
            for _ in range(2):
                self.packed_body()
                self.tsc_info()
                self.vcpu_info()
                self.marker(0)
                self.tail()
            return
        self.marker(-9)
        self.marker(0)
        self.tail()

    def described(self):
        gone = set(self.unmapped)
        g = {"config": self.config, "type": self.type, "tsc": self.tsc, "unmapped": sorted(gone),
             "frames": {str(p): [t, digest(page) if t < BROKEN else ""] for p, (t, page) in sorted(self.memory.items()) if p not in gone}}
        if self.type == "pv":
            g.update(width=self.guest // 8, p2m=self.p2m, size=self.frames, shared_info=digest(self.shared_info),
                     vcpus={str(v): x for v, x in self.vcpus.items()})
        else:
            g.update(params={str(k): v for k, v in sorted(self.params.items())}, context=digest(self.context),
                     physmap=digest(self.physmap), qemu=digest(self.qemu))
        return g


# ---- the guest in a file of a later Xen ----


class Reader:
    def __init__(self, path, forget):
        self.b, self.at = open(path, "rb").read(), 0
        self.gone = set(forget)
        self.g = {"frames": {}, "unmapped": sorted(self.gone)}

    def take(self, n):
        assert self.at + n <= len(self.b), "it ends at %d" % self.at
        self.at += n
        return self.b[self.at - n:self.at]

    def unpack(self, fmt):
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))

    def record(self):
        kind, n = self.unpack("<II")
        body = self.take(n)
        assert not any(self.take(-n % 8))
        return kind, body

    def pages(self, body):
        count, zero = struct.unpack_from("<II", body)
        assert count and not zero
        at = 8 + 8 * count
        for e in struct.unpack_from("<%dQ" % count, body, 8):
            pfn, kind = e & ((1 << 52) - 1), e >> 60
            page = body[at:at + PAGE] if kind < BROKEN else b""
            at += len(page)
            if kind != XTAB and pfn not in self.gone:
                self.g["frames"][pfn] = [kind, digest(page) if kind < BROKEN else ""]
        assert at == len(body)

    def vcpu(self, part, body):
        v, zero = struct.unpack_from("<II", body)
        self.g.setdefault("vcpus", {}).setdefault(str(v), ["", "", ""])[part] = digest(body[8:])

    def libxc(self):
        mark, ident, version = self.unpack(">QII")
        self.take(8)
        kind, shift, _, major, minor = self.unpack("<IHHII")
        assert (mark, ident, version, shift, major) == (2 ** 64 - 1, 0x58454E46, 3, 12, 0)
        self.g["type"] = {1: "pv", 2: "hvm"}[kind]
        while True:
            kind, body = self.record()
            if kind == 0:
                return
            if kind == 1:
                self.pages(body)
            elif kind == 2:
                self.g["width"] = body[0]
            elif kind == 3:
                first, last = struct.unpack_from("<II", body)
                assert first == 0
                self.g.update(size=last + 1, p2m=list(struct.unpack("<%dQ" % ((len(body) - 8) // 8), body[8:])))
            elif kind in (4, 5, 6):
                self.vcpu(kind - 4, body)
            elif kind == 7:
                self.g["shared_info"] = digest(body)
            elif kind == 8:
                mode, khz, nsec, inc, _ = struct.unpack("<IIQII", body)
                self.g["tsc"] = [mode, khz, nsec, inc]
            elif kind == 9:
                self.g["context"] = digest(body)
            elif kind == 10:
                words = struct.unpack("<%dQ" % (len(body) // 8), body)[1:]
                self.g.setdefault("params", {}).update((k, v) for k, v in zip(words[::2], words[1::2]) if v)
            else:
                assert kind == 16 and not body, "record %d" % kind

    def front(self):
        assert self.take(32) == MAGIC
        order, flags, _, n = self.unpack("<4I")
        assert order == 0x01020304 and flags & 2
        self.g["config"] = digest(self.take(n))

    def all(self):
        if self.b.startswith(MAGIC):
            self.front()
        assert self.unpack(">QII") == (0x4C6962786C466D74, 2, 2)
        physmap = b""
        while True:
            kind, body = self.record()
            if kind == 0:
                break
            if kind == 1:
                self.libxc()
            elif kind == 2:
                physmap = body[8:]
            else:
                assert kind == 3
                self.g["qemu"] = digest(body[8:])
        assert self.at == len(self.b)
        if self.g["type"] == "hvm":
            self.g["physmap"] = digest(physmap)
            self.g["params"] = {str(k): v for k, v in sorted(self.g["params"].items())}
        self.g["frames"] = {str(p): x for p, x in sorted(self.g["frames"].items())}
        return self.g


# ---- a guest that lives, in an old file ----


def age(path, out, tools):
    """What old streams have no place for, which is policies and MSRs, is left out."""
    b = open(path, "rb").read()
    optional = 48 + struct.unpack_from("<I", b, 44)[0]
    config = 4 + struct.unpack_from("<I", b, 48)[0]
    r = Reader(path, [])
    r.at = optional + 24 + 24
    pv = r.unpack("<IHHII")[0] == 1
    parts, libxl = [], []
    while not parts or parts[-1][0] != 0:
        parts.append(r.record())
    while not libxl or libxl[-1][0] != 0:
        libxl.append(r.record())
    of = {kind: body for kind, body in parts}
    ulongs = lambda *v: struct.pack("<%d%s" % (len(v), "I" if tools == 32 else "Q"), *v)
    pfns = lambda body: struct.unpack_from("<%dQ" % struct.unpack_from("<I", body)[0], body, 8)
    top = max(e & 0xFFFFFFFFFFFFF for kind, body in parts if kind == 1 for e in pfns(body)) + 1
    data = b[:36] + struct.pack("<3I", 1, 0, config) + b[48:48 + config]

    if pv:
        basic, extended, xsave = ({struct.unpack_from("<I", x)[0]: x[8:] for k, x in parts if k == kind} for kind in (4, 5, 6))
        top = struct.unpack_from("<II", of[3])[1] + 1
        blocks = b"vcpu" + struct.pack("<I", len(basic[0])) + basic[0] + (b"extv" + bytes(4) if extended else b"")
        blocks += b"xcnt" + struct.pack("<II", 4, len(xsave[0]) + 16) if xsave else b""
        data += ulongs(top) + ulongs(2 ** tools - 1) + struct.pack("<I", len(blocks)) + blocks
        data += ulongs(*struct.unpack("<%dQ" % (len(of[3]) // 8 - 1), of[3][8:]))
    else:
        data += ulongs(top)
    for kind, body in parts:
        if kind == 1:
            entries = pfns(body)
            data += struct.pack("<i", len(entries)) + ulongs(*(e >> 32 & 0xF0000000 | e & 0xFFFFFFF for e in entries)) + body[8 + 8 * len(entries):]
    mode, khz, nsec, incarnation, _ = struct.unpack("<IIQII", of[8])
    data += struct.pack("<iIQII", -7, mode, nsec, khz, incarnation)
    if pv:
        online = sum(1 << v for v in basic)
        data += struct.pack("<iiQ", -2, max(basic), online) + struct.pack("<ii", -9, 0) + struct.pack("<I", 0)
        for v in sorted(basic):
            data += basic[v] + extended[v].ljust(128, b"\0") + (struct.pack("<QQ", 7, len(xsave[v])) + xsave[v] if xsave else b"")
        data += of[7]
    else:
        words = struct.unpack("<%dQ" % (len(of[10]) // 8), of[10])[1:]
        params = dict(zip(words[::2], words[1::2]))
        for marker, index in PARAMS.items():
            if index in params:
                data += struct.pack("<iIQ", marker, 0, params[index])
        qemu = [body[8:] for kind, body in libxl if kind == 3][0]
        data += struct.pack("<ii", -9, 0) + struct.pack("<3Q", *(params.get(i, 0) for i in (5, 6, 1)))
        data += struct.pack("<I", len(of[9])) + of[9] + b"DeviceModelRecord0002" + struct.pack("<I", len(qemu)) + qemu
    with open(out, "wb") as f:
        f.write(data)


def verify(path):
    """Data of the device model's is compared with a str there, which bytes never are."""
    from xen.migration import libxl

    class Both(bytes):
        def __getitem__(self, key):
            part = bytes.__getitem__(self, key)
            return part.decode("latin-1") if isinstance(key, slice) and key.start else part

    stock = libxl.record_verifiers[libxl.REC_TYPE_emulator_xenstore_data]
    libxl.record_verifiers[libxl.REC_TYPE_emulator_xenstore_data] = lambda self, content: stock(self, Both(content))
    f = open(path, "rb")
    f.read(44)
    f.read(struct.unpack("<I", f.read(4))[0])
    libxl.VerifyLibxl(lambda _: None, f.read).verify()
    assert not f.read(1)


def flip(path, out, program, parts):
    whole = open(path, "rb").read()
    refused = 0
    for at, name in parts:
        b = bytearray(whole)
        b[at + at % 4] ^= 1 << at % 8
        with open(out, "wb") as f:
            f.write(b)
        said = subprocess.run([program, "--export", out + ".new", out], capture_output=True, timeout=60)
        lines = said.stderr.decode().splitlines()
        where = "%s at %d: %s" % (name, at, said)
        assert len(lines) == 1 and said.returncode in (0, 2), where
        assert os.path.exists(out + ".new") == (said.returncode == 0), where
        refused += said.returncode
        if not said.returncode:
            os.unlink(out + ".new")
    assert refused > len(parts), "only %d of %d are refused" % (refused / 2, len(parts))


def dump(g, f):
    json.dump(g, f, sort_keys=True, indent=0)
    f.write("\n")


def make(options):
    w = Writer(**dict(o.split("=", 1) for o in options))
    w.all()
    return w


SEEDS = [
    "tools=32 type=pv guest=32 xsave=1", "tools=64 type=pv guest=64", "tools=64 type=pv guest=32 config=text remus=1",
    "tools=32 type=hvm all_params=1 toolstack=1", "tools=64 type=hvm toolstack=1 tmem=persistent late_tmem=1 live=1",
    "tools=64 type=hvm remus=1", "tools=32 type=pv guest=64 tmem=empty verify=1",
]


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "make":
        w = make(args[1:])
        with open(args[0], "wb") as f:
            f.write(b"".join(w.out))
        with open(args[0] + ".guest", "w") as f:
            dump(w.described(), f)
    elif what == "guest":
        other = json.load(open(args[1])) if len(args) > 1 else {"unmapped": []}
        g = Reader(args[0], other["unmapped"]).all()
        dump({"config": other.get("config"), **g}, sys.stdout)
    elif what == "age":
        age(args[0], args[1], int(args[2].split("=")[1]))
    elif what == "stream":
        b = open(args[0], "rb").read()
        with open(args[1], "wb") as f:
            f.write(b[48 + struct.unpack_from("<I", b, 44)[0]:])
    elif what == "verify":
        verify(args[0])
    elif what == "list":
        for at, name in make(args).parts:
            print(at, name)
    elif what == "flip":
        flip(*args[:3], make(args[3:]).parts)
    elif what == "seeds":
        os.makedirs(args[0], exist_ok=True)
        for i, options in enumerate(SEEDS):
            with open("%s/%d" % (args[0], i), "wb") as f:
                f.write(b"".join(make((options + " frames=16 pages=2").split() + args[1:]).out))
    else:
        sys.exit(__doc__)


main()
