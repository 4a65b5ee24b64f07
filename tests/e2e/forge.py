#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""forge.py LIE IN OUT: the v3 stream of a 64-bit PV guest, with a lie in it.

claims     2^32 frames, all that it does not have at one frame of its p2m
turns      the same at two frames of it in turn
spread     the same, and its page tables name a frame in each of as many extents as there are entries
beyond     a page table names a frame behind the last
type       a page table comes as an ordinary page, so its entries are the sender's
pin        an ordinary page is said to be a page table, and pinned
cr3-plain  vCPU 0's page table is an ordinary page
cr3-none   it is a frame that the guest does not have
gdt        vCPU 0's GDT is a page table
p2m        a frame of the p2m is a page table
"""
import struct
import sys

lie, source, target = sys.argv[1:]
PAGE_DATA, P2M_FRAMES, VCPU_BASIC = 0x01, 0x03, 0x04
CTRLREG3, GDT_FRAMES, GDT_ENTS = 4984 + 3 * 8, 4960 - 16 * 8, 4960
data = open(source, "rb").read()
records, types = [], {}


def pages_of(body):
    """PFN, type and where the content is, of each page that has one."""
    count = struct.unpack_from("<I", body)[0]
    at = 8 + 8 * count
    for i in range(count):
        entry = struct.unpack_from("<Q", body, 8 + 8 * i)[0]
        if entry >> 60 < 13:
            yield i, entry & (1 << 52) - 1, entry >> 60, at
            at += 4096


def retype(body, i, pfn, kind):
    struct.pack_into("<Q", body, 8 + 8 * i, kind << 60 | pfn)


at = 40
while at < len(data):
    kind, length = struct.unpack_from("<II", data, at)
    records.append((kind, bytearray(data[at + 8 : at + 8 + length])))
    at += 8 + (length + 7 & ~7)
for kind, body in records:
    if kind == PAGE_DATA:
        types.update({pfn: page_type for _, pfn, page_type, _ in pages_of(body)})
table = next(pfn for pfn, page_type in types.items() if page_type & 7 == 1)
plain = max(pfn for pfn, page_type in types.items() if page_type == 0)
spread = told = 0


def claim(body):
    """To 2^32 frames."""
    count = (len(body) - 8) // 8
    more = (1 << 23) - count
    last = bytes(body[-16:] if lie == "turns" else body[-8:])
    struct.pack_into("<II", body, 0, 0, 0xFFFFFFFF)
    body += (last * more)[: 8 * more]


def forge_pages(body):
    global spread, told
    for i, pfn, page_type, at in pages_of(body):
        if lie == "beyond" and page_type & 7 == 1 and not told:
            struct.pack_into("<Q", body, at, 1 << 45 | 1)
            told = 1
        elif lie == "spread" and page_type & 7 == 1:
            for k in range(512):
                struct.pack_into("<Q", body, at + 8 * k, (1 << 22) + 512 * spread << 12 | 1)
                spread += 1
        elif lie == "type" and page_type & 7 == 1:
            retype(body, i, pfn, 0)
        elif lie == "pin" and pfn == plain:
            retype(body, i, pfn, 9)
            body[at : at + 4096] = struct.pack("<Q", table << 12 | 3) * 512


def forge_vcpu(body):
    if struct.unpack_from("<I", body)[0] != 0:
        return
    if lie.startswith("cr3"):
        pfn = plain if lie == "cr3-plain" else (1 << 20) - 1
        struct.pack_into("<Q", body, 8 + CTRLREG3, pfn << 12)
    elif lie == "gdt":
        struct.pack_into("<Q", body, 8 + GDT_FRAMES, table)
        struct.pack_into("<Q", body, 8 + GDT_ENTS, 16)


with open(target, "wb") as out:
    out.write(data[:40])
    for kind, body in records:
        if kind == P2M_FRAMES and lie in ("claims", "turns", "spread"):
            claim(body)
        elif kind == P2M_FRAMES and lie == "p2m":
            struct.pack_into("<Q", body, 8, table)
        elif kind == PAGE_DATA:
            forge_pages(body)
        elif kind == VCPU_BASIC:
            forge_vcpu(body)
        out.write(struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8))
