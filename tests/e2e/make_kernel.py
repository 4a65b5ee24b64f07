#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make_kernel.py FILE OS CANCEL [NOTE_BYTES]: an ELF file with Xen's notes and no program. NOTE_BYTES
is what the second note says of its description's length, which is a lie."""
import struct
import sys

path, guest_os, cancel = sys.argv[1:4]
lie = int(sys.argv[4]) if len(sys.argv) > 4 else None


def note(kind, desc, says=None):
    return struct.pack("<III4s", 4, len(desc) if says is None else says, kind, b"Xen\0") + desc + bytes(
        -len(desc) % 4)


notes = (note(6, guest_os.encode() + b"\0") + note(7, b"9.9\0", lie) + note(5, b"xen-3.0\0") +
         note(14, struct.pack("<I", int(cancel))))
at = 4096
header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x1000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
segment = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(notes), len(notes), 4)
with open(path, "wb") as f:
    f.write((header + segment).ljust(at, b"\0") + notes)
