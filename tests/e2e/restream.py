# SPDX-License-Identifier: MIT
"""restream.py v2|differ|param=INDEX IN OUT: a v3 stream as version 2 says the same; or with one byte
changed in the last page that was sent to be compared (after VERIFY); or with one HVM parameter
more, of value 1."""
import struct
import sys

mode, source, target = sys.argv[1:]
data = bytearray(open(source, "rb").read())
STATIC_ONLY_V3 = (0x10, 0x11, 0x12)
PAGE_DATA, HVM_PARAMS, VERIFY = 0x01, 0x0A, 0x0D
out = data[:40]
at, verifying, last_end = 40, False, None
while at < len(data):
    kind, length = struct.unpack_from("<II", data, at)
    record = data[at : at + 8 + (length + 7 & ~7)]
    at += len(record)
    verifying |= kind == VERIFY
    if mode == "v2" and kind in STATIC_ONLY_V3:
        continue
    if mode.startswith("param=") and kind == HVM_PARAMS:
        count = struct.unpack_from("<I", record, 8)[0]
        body = record[16 : 8 + length] + struct.pack("<QQ", int(mode[6:]), 1)
        record = struct.pack("<IIII", kind, length + 16, count + 1, 0) + body
    out += record
    if verifying and kind == PAGE_DATA and length > 4096:
        last_end = len(out)
if mode == "v2":
    struct.pack_into(">I", out, 12, 2)
elif mode == "differ":
    out[last_end - 1] ^= 0xFF
open(target, "wb").write(out)
