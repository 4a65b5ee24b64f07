#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""strangers.py PORT ADDRESS COUNT KIND...: that many connections from ADDRESS, of each kind in turn.

Whoever is closed comes again a second later. The kinds: idle says nothing, slow sends a byte of a
preamble every second, garbage something else, silent a good preamble and then nothing, and
babbling a good preamble and then what is no TLS. Prints "there" once all have come.
"""
import asyncio
import resource
import struct
import sys

PREAMBLE = b"\x8fxmigr\r\n" + struct.pack("<HHHH", 3, 0, 0, 0xffff) + bytes(16)
NONSENSE = bytes(range(7, 256)) * 8
came = set()


async def say(kind, writer):
    if kind == 'slow':
        for byte in PREAMBLE:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)
    elif kind == 'garbage':
        writer.write(NONSENSE)
    elif kind in ('silent', 'babbling'):
        writer.write(PREAMBLE + (NONSENSE if kind == 'babbling' else b''))
    await writer.drain()


async def come_again(number, kind, port, address, count):
    while True:
        try:
            reader, writer = await asyncio.open_connection('127.0.0.1', port,
                                                           local_addr=(address, 0))
            came.add(number)
            if len(came) == count:
                came.add(None)  # once
                print('there', flush=True)
            await say(kind, writer)
            while await reader.read(4096):
                pass
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(1)


async def main(port, address, count, *kinds):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    await asyncio.gather(*(come_again(i, kinds[i % len(kinds)], port, address, count)
                           for i in range(count)))


asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
