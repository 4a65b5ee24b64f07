#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""capture.py INTERFACE: every RARP frame that arrives there, a line each: when (s), and its bytes."""
import socket
import sys
import time

ETH_P_RARP = 0x8035
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_RARP))
sock.bind((sys.argv[1], ETH_P_RARP))
print("ready", flush=True)
while True:
    frame, sender = sock.recvfrom(2048)
    if sender[2] != socket.PACKET_OUTGOING:
        print(f"{time.monotonic():.3f}", frame.hex(), flush=True)
