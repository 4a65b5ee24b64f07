#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads saved guests' files as docs/file.md says, and knows nothing of xmigrate's code.

    compact_decode.py digest FILE [PARENT...] [--key KEYFILE]

prints a digest of the guest's memory: of each frame with memory its number, type and contents. A stock
file and a compact one, with its chain, of the same guest at the same moment have the same.

    compact_decode.py aux FILE [PARENT...] [--key KEYFILE]

prints, of each source of auxiliary data, how many entries and bytes there are, and a digest of them, as JSON.

    compact_decode.py info FILE [--key KEYFILE]

prints what the file says of itself, as JSON.
"""
import argparse
import ctypes
import hashlib
import hmac
import json
import struct
import sys

PAGE = 4096
ZEROS = bytes(PAGE)
NO_MEMORY = 15


def expect(true, what):
    if not true:
        raise SystemExit(f"compact_decode: {what}")


def has_contents(kind):
    return kind <= 4 or 9 <= kind <= 12


# ---- what Python has not ----

zstd = ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_decompress.restype = ctypes.c_size_t
zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t] * 2
lz4 = ctypes.CDLL("liblz4.so.1")
crypto = ctypes.CDLL("libcrypto.so.3")
for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
    getattr(crypto, name).restype = ctypes.c_void_p


def decompress(codec, data, size):
    out = ctypes.create_string_buffer(size)
    if codec == 1:
        got = lz4.LZ4_decompress_safe(data, out, len(data), size)
    else:
        got = zstd.ZSTD_decompress(out, size, data, len(data))
    expect(got == size, f"a chunk gives {got} bytes, not {size}")
    return out.raw


def decrypt(key, nonce, beside, sealed):
    """AES-256-GCM; the tag is at the end."""
    data, tag = sealed[:-16], sealed[-16:]
    ctx = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    out = ctypes.create_string_buffer(len(data) + 16)
    n = ctypes.c_int()
    good = crypto.EVP_DecryptInit_ex(ctx, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None, key, nonce)
    good = good and crypto.EVP_DecryptUpdate(ctx, None, ctypes.byref(n), beside, len(beside))
    good = good and crypto.EVP_DecryptUpdate(ctx, out, ctypes.byref(n), data, len(data))
    good = good and crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x11, 16, tag)
    good = good and crypto.EVP_DecryptFinal_ex(ctx, ctypes.byref(ctypes.create_string_buffer(16)),
                                               ctypes.byref(n)) > 0
    crypto.EVP_CIPHER_CTX_free(ctx)
    expect(good, "a piece is not what was encrypted")
    return out.raw[:len(data)]


CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def siphash128(key, data):
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1 = k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee
    v2, v3 = k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = v0 + v1 & mask
            v1 = (v1 << 13 | v1 >> 51) & mask ^ v0
            v0 = (v0 << 32 | v0 >> 32) & mask
            v2 = v2 + v3 & mask
            v3 = (v3 << 16 | v3 >> 48) & mask ^ v2
            v0 = v0 + v3 & mask
            v3 = (v3 << 21 | v3 >> 43) & mask ^ v0
            v2 = v2 + v1 & mask
            v1 = (v1 << 17 | v1 >> 47) & mask ^ v2
            v2 = (v2 << 32 | v2 >> 32) & mask

    whole = len(data) // 8 * 8
    last = data[whole:] + bytes(7 - len(data) % 8) + bytes([len(data) & 0xff])
    for word, in struct.iter_unpack("<Q", data[:whole] + last):
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xee
    rounds(4)
    first = v0 ^ v1 ^ v2 ^ v3
    v1 ^= 0xdd
    rounds(4)
    return struct.pack("<QQ", first, v0 ^ v1 ^ v2 ^ v3)


def hkdf(secret, salt, info, size):
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    out, block = b"", b""
    while len(out) < size:
        block = hmac.new(prk, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:size]


# ---- a compact file ----

SECTIONS = ("HEAD", "TAIL", "INDEX", "LIBXL", "CONFIG", "NOTE")


class Compact:
    def __init__(self, path, secret):
        with open(path, "rb") as f:
            self.data = f.read()
        self.path = path
        head = self.data[:512]
        (word, version, flags, self.depth, zero, self.uuid, self.parent, self.parent_index, salt, check,
         name, zeros, crc) = struct.unpack("<16sIIII16s16s32s32s16s256s108sI", head)
        expect(word == b"xmigrate compact" and version == 1 and not flags & ~3, f"{path}: no such file")
        expect(not zero and not any(zeros) and crc == crc32c(head[:508]), f"{path}: header")
        self.encrypted = bool(flags & 1)
        expect(bool(flags & 2) == (self.depth > 0), f"{path}: flags")
        self.parent_name = name.rstrip(b"\0").decode()
        expect(self.encrypted == (secret is not None), f"{path}: key")
        keys = hkdf(secret if self.encrypted else b"xmigrate: not encrypted", salt,
                    b"xmigrate compact file" + self.uuid, 80)
        self.cipher_key = keys[:32]
        expect(check == (keys[64:] if self.encrypted else bytes(16)), f"{path}: another key")
        self.read_footer(keys[32:64])
        self.read_index()
        self.read_aux()

    def read_footer(self, mac_key):
        footer = self.data[-512:]
        word, size, uuid = struct.unpack("<8sQ16s", footer[:32])
        expect(word == b"XMC end\n" and size == len(self.data) and uuid == self.uuid, "footer")
        expect(not any(footer[416:480]), "footer's zeros")
        mac = hmac.new(mac_key, self.data[:512] + footer[:480], hashlib.sha256).digest()
        expect(mac == footer[480:], "footer's MAC")
        self.sections, end = {}, None
        for i, name in enumerate(SECTIONS):
            kind, zero, at, stored, plain, digest = struct.unpack(
                "<IIQQQ32s", footer[32 + i * 64:96 + i * 64])
            expect(kind == i + 1 and not zero and (end is None or at == end), f"section {name}")
            if not i:
                self.chunks_end = at
            end = at + stored
            piece = self.data[at:end]
            expect(hashlib.sha256(piece).digest() == digest, f"{name}'s checksum")
            if self.encrypted:
                piece = decrypt(self.cipher_key, struct.pack("<IQ", 2, kind),
                                self.uuid + struct.pack("<QQQ", kind, 0, plain), piece)
            expect(len(piece) == plain, f"{name}'s length")
            self.sections[name] = piece
        expect(end == len(self.data) - 512, "a gap before the footer")

    def read_index(self):
        index = self.sections["INDEX"]
        self.hash_key, self.frames, chunks, groups, entries = struct.unpack("<16sQIIQ", index[:40])
        expect(not any(index[40:64]), "INDEX's zeros")
        self.chunks, at, place = [], 64, 512
        for _ in range(chunks):
            chunk = struct.unpack("<IIIHHI", index[at:at + 20])
            self.chunks.append((place, *chunk))
            place += chunk[0]
            at += 20
        expect(place == self.chunks_end, "chunks and sections do not meet")
        self.entries = {}  # frame: type, and None, ZEROS or (chunk, slot, hash)
        for _ in range(groups):
            extent, count, contents = struct.unpack("<IHH", index[at:at + 8])
            at += 8
            words = struct.unpack(f"<{count}H", index[at:at + 2 * count])
            at += 2 * count
            places = struct.unpack(f"<{contents}I", index[at:at + 4 * contents])
            at += 4 * contents
            slots = struct.unpack(f"<{contents}H", index[at:at + 2 * contents])
            at += 2 * contents
            hashes = [index[at + 16 * i:at + 16 * i + 16] for i in range(contents)]
            at += 16 * contents
            left = iter(zip(places, slots, hashes))
            for word in words:
                kind = word >> 9 & 15
                what = ZEROS if word >> 13 & 1 else next(left) if has_contents(kind) else None
                self.entries[extent * 512 + (word & 511)] = kind, what
            expect(next(left, None) is None, "places left over")
        expect(at == len(index) and len(self.entries) == entries, "INDEX's end")

    def read_aux(self):
        """The last records of HEAD: sources, each with its keys."""
        head, at, self.aux = self.sections["HEAD"], 40, []
        end = 0
        while at < len(head):
            kind, size = struct.unpack("<II", head[at:at + 8])
            body, at = head[at + 8:at + 8 + size], at + 8 + (size + 7) // 8 * 8
            if kind == 0x80786d02:
                first, number, flags, name, version, head_bytes, most, most_bytes = struct.unpack(
                    "<QII16sIIQQ", body[:56])
                expect(first % 512 == 0 and first >= end and first + most <= self.frames, "a source's frames")
                expect(number == len(self.aux) and not flags & ~1 and len(body) == 56 + head_bytes, "a source")
                self.aux.append({"name": name.rstrip(b"\0").decode(), "optional": bool(flags & 1),
                                 "most_bytes": most_bytes, "keys": {}})
                end = first + most
            elif kind == 0x80786d03:
                keys = self.aux[-1]["keys"]
                for key, offset, count in struct.iter_unpack("<32sII", body):
                    expect(offset < most and count <= PAGE and first + offset > max(keys, default=-1), "a key")
                    keys[first + offset] = key, count
            else:
                expect(not self.aux, "a record behind auxiliary data")
        expect(at == len(head), "HEAD's end")

    def unpack(self, number):
        at, stored, crc, extent, pages, raw, codec = self.chunks[number]
        piece = self.data[at:at + stored]
        if not number % 16:
            expect(crc32c(piece) == crc, f"chunk {number}'s checksum")
        if self.encrypted:
            piece = decrypt(self.cipher_key, struct.pack("<IQ", 1, number),
                            self.uuid + struct.pack("<QQQ", number, extent, pages * PAGE), piece)
        plain, packed = piece[:raw * PAGE], piece[raw * PAGE:]
        if pages > raw:
            plain += decompress(codec, packed, (pages - raw) * PAGE)
        expect(len(plain) == pages * PAGE, f"chunk {number}'s pages")
        return plain


def read_chain(paths, secret):
    """Frame: type, contents. Of each file what no newer one speaks of."""
    files = [Compact(path, secret) for path in paths]
    for child, parent in zip(files, files[1:]):
        expect(child.parent == parent.uuid and child.depth == parent.depth + 1, "not its parent")
        expect(child.parent_index == hashlib.sha256(parent.sections["INDEX"]).digest(), "another index")
        expect(child.hash_key == parent.hash_key, "another hash key")
    expect(not files[-1].depth, "the chain has no end")
    memory, unpacked, checked = {}, {}, 0
    for f in files:
        unpacked.clear()
        for frame, (kind, what) in f.entries.items():
            if frame in memory:
                continue
            if isinstance(what, tuple):
                chunk, slot, digest = what
                expect(f.chunks[chunk][3] == frame // 512, "a chunk of another extent")
                if chunk not in unpacked:
                    unpacked[chunk] = f.unpack(chunk)
                what = unpacked[chunk][slot * PAGE:(slot + 1) * PAGE]
                if not frame % 499:
                    expect(siphash128(f.hash_key, what) == digest, f"frame {frame}'s hash")
                    checked += 1
            memory[frame] = kind, what
    memory = {frame: page for frame, page in memory.items() if page[0] != NO_MEMORY}
    return split_aux(files[0], memory)


def split_aux(newest, memory):
    """The guest's own memory, and of each source: what the newest file says, and key: content."""
    found = []
    for source in newest.aux:
        entries = {}
        for frame, (key, count) in source["keys"].items():
            kind, page = memory.pop(frame, (None, None))
            expect(kind == 0 and not any(page[count:]), f"the page of an entry, {frame}")
            expect(key not in entries, "a key that comes twice")
            entries[key] = page[:count]
        expect(sum(map(len, entries.values())) <= source["most_bytes"], "more than was announced")
        found.append((source, entries))
    behind = min((min(s["keys"], default=1 << 64) for s in newest.aux), default=1 << 64)
    expect(max(memory, default=0) < behind, "a frame that is nobody's")
    return memory, found


def describe_aux(found):
    return [{"source": source["name"], "optional": source["optional"], "entries": len(entries),
             "bytes": sum(map(len, entries.values())),
             "digest": hashlib.sha256(b"".join(k + entries[k] for k in sorted(entries))).hexdigest()}
            for source, entries in found]


# ---- a stock file ----

def read_stock(data):
    order, _, _, optional = struct.unpack("<IIII", data[32:48])
    expect(order == 0x01020304, "byte order")
    at = 48 + optional + 16 + 8 + 40  # libxl's header, LIBXC_CONTEXT, libxc's headers
    memory = {}
    while True:
        kind, size = struct.unpack("<II", data[at:at + 8])
        body, at = at + 8, at + 8 + (size + 7) // 8 * 8
        if not kind:
            return {frame: page for frame, page in memory.items() if page[0] != NO_MEMORY}
        if kind != 1:
            continue
        count, = struct.unpack("<I", data[body:body + 4])
        contents = body + 8 + 8 * count
        for entry, in struct.iter_unpack("<Q", data[body + 8:contents]):
            page_kind, frame, what = entry >> 60, entry & (1 << 52) - 1, None
            if has_contents(page_kind):
                what = data[contents:contents + PAGE]
                contents += PAGE
            memory[frame] = page_kind, what


def digest(memory):
    d = hashlib.sha256()
    for frame in sorted(memory):
        kind, what = memory[frame]
        d.update(struct.pack("<QB", frame, kind) + (what or b""))
    return d.hexdigest()


def show(memory, what):
    if what == "digest":
        print(digest(memory))
        return
    for frame in sorted(memory):
        print(frame, digest({frame: memory[frame]}))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("what", choices=("digest", "frames", "aux", "info"))
    p.add_argument("files", nargs="+")
    p.add_argument("--key")
    o = p.parse_args()
    secret = open(o.key, "rb").read() if o.key else None
    with open(o.files[0], "rb") as f:
        word = f.read(16)
    if o.what == "info":
        c = Compact(o.files[0], secret)
        json.dump({"depth": c.depth, "parent": c.parent_name, "chunks": len(c.chunks),
                   "entries": len(c.entries), "bytes": len(c.data),
                   "note": json.loads(c.sections["NOTE"])}, sys.stdout)
        print()
    elif word == b"xmigrate compact":
        memory, found = read_chain(o.files, secret)
        if o.what == "aux":
            print(json.dumps(describe_aux(found)))
        else:
            show(memory, o.what)
    else:
        with open(o.files[0], "rb") as f:
            show(read_stock(f.read()), o.what)


main()
