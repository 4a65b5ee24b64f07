#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""verify_stream.py CHECKER ARGUMENT...: Xen's own verify-stream-v2, which does not skip records that it
may skip, told of ours: KERNEL_NOTES of docs/file.md, checked here."""
import runpy
import struct
import sys

from xen.migration import libxc
from xen.migration.verify import RecordError

KERNEL_NOTES = 0x80786D01


def verify_kernel_notes(_self, content):
    if len(content) < 24 or struct.unpack_from("<II", content) not in ((1, 0), (2, 0)):
        raise RecordError("bad KERNEL_NOTES")
    at = 8
    while at < len(content):
        name, desc, _type, xen = struct.unpack_from("<III4s", content, at)
        if name != 4 or xen != b"Xen\0":
            raise RecordError("a note that is not Xen's")
        at += 16 + (desc + 3) // 4 * 4
    if at != len(content):
        raise RecordError("notes that are longer than their record")


libxc.rec_type_to_str[KERNEL_NOTES] = "KERNEL_NOTES"
libxc.record_verifiers[KERNEL_NOTES] = verify_kernel_notes
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
