#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cut.py PORT before-go|after-go|mute|slow|tapped|flipped: a wire between xmigrate and a listener on PORT.

Prints its own port. It passes everything on until the source sends GO on the control connection
(of xmigrate --insecure): then the wire is cut before GO went through, or after, so that no answer
comes back. A mute wire takes all connections but control without a word; a slow one lets each of
them wait for two seconds first. On a tapped one a stranger reads along: after each preamble but
control's he connects with it, too, and then says nothing. A flipped one changes one bit of what goes forth on
each connection but control, once a megabyte has passed.
"""
import asyncio
import struct
import sys

PREAMBLE, CONTROL, GO = 32, 0xffff, 7
STRANGERS = 4  # with each connection
FLIP_AT = 1 << 20
strangers = []


async def pump(reader, writer, cut, flip_at=None):
    try:
        while (data := await reader.read(65536)) and not cut.is_set():
            if flip_at is not None:
                if flip_at < len(data):
                    data = data[:flip_at] + bytes([data[flip_at] ^ 1]) + data[flip_at + 1:]
                    flip_at = None
                else:
                    flip_at -= len(data)
            writer.write(data)
            await writer.drain()
        if not data:
            writer.write_eof()  # the other way may go on
            return
    except OSError:
        pass
    writer.close()


async def pump_control(reader, writer, cut, after):
    try:
        while True:
            header = await reader.readexactly(8)
            kind, _, length = struct.unpack('<HHI', header)
            body = await reader.readexactly(length + 4)  # and its checksum
            if kind == GO:
                cut.set()
            if kind != GO or after:
                writer.write(header + body)
                await writer.drain()
            if kind == GO:
                await asyncio.sleep(1)
                break
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()


async def intrude(port, preamble):
    for _ in range(STRANGERS):
        strangers.append(await asyncio.open_connection('127.0.0.1', port))
        strangers[-1][1].write(preamble)
        await strangers[-1][1].drain()


async def serve(port, mode):
    async def connected(near_reader, near_writer):
        cut = asyncio.Event()
        far_reader, far_writer = await asyncio.open_connection('127.0.0.1', port)
        preamble = await near_reader.readexactly(PREAMBLE)
        control = struct.unpack_from('<H', preamble, 14)[0] == CONTROL
        if not control and mode == 'mute':
            await near_reader.read()
            return
        if not control and mode == 'slow':
            await asyncio.sleep(2)
        far_writer.write(preamble)
        await far_writer.drain()
        if not control and mode == 'tapped':
            await intrude(port, preamble)
        if control and mode in ('before-go', 'after-go'):
            forth = pump_control(near_reader, far_writer, cut, mode == 'after-go')
        else:
            forth = pump(near_reader, far_writer, cut,
                         FLIP_AT if mode == 'flipped' and not control else None)
        await asyncio.wait([asyncio.create_task(forth),
                            asyncio.create_task(pump(far_reader, near_writer, cut))])
        near_writer.close()
        far_writer.close()

    server = await asyncio.start_server(connected, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
