#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""set_config.py DOMAIN JSON, under `xensim run HOST --`: what libxl is to know of that domain."""
import os
import socket
import struct
import sys

OP_COMMAND = 6  # xensim/proto.h
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect(os.environ["XENSIM_SOCKET"])
words = b"".join(word.encode() + b"\0" for word in ("set-config", *sys.argv[1:]))
sock.send(struct.pack("<II6Q", OP_COMMAND, len(words), *[0] * 6) + words)
reply = sock.recv(65536)
if struct.unpack_from("<q", reply)[0]:
    sys.exit(reply[24:].decode())
