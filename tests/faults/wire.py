# SPDX-License-Identifier: MIT
"""A wire to a listener that does to a connection what it is told, in a thread of its own.

A connection is control, trunk or lane, by its preamble. Bytes are not understood beyond that.
"""
import asyncio
import socket
import struct
import threading

PREAMBLE = 32
NAMES = {0xffff: 'control', 0xfffe: 'trunk'}


class Pair:
    def __init__(self, name):
        self.name = name
        self.writers = []
        self.orders = {'forth': None, 'back': None}  # for the next bytes that come by
        self.closed = False


class Wire:
    def __init__(self, target):
        self.target = target
        self.pairs = []
        self.held = {}       # connection or 'all': until when (loop time)
        self.struck = 0
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.ready.wait()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(
            asyncio.start_server(self._serve, '127.0.0.1', 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _serve(self, reader, writer):
        try:
            while self._wait('all') > 0:
                await asyncio.sleep(0.02)
            preamble = await reader.readexactly(PREAMBLE)
            lane = struct.unpack_from('<H', preamble, 14)[0]
            far_reader, far_writer = await asyncio.open_connection('127.0.0.1', self.target)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        pair = Pair(NAMES.get(lane, 'lane'))
        pair.writers = [writer, far_writer]
        self.pairs.append(pair)
        far_writer.write(preamble)
        await asyncio.gather(self._pump(pair, 'forth', reader, far_writer),
                             self._pump(pair, 'back', far_reader, writer))
        self._close(pair)

    def _wait(self, name):
        now = self.loop.time()
        return max(self.held.get(name, 0), self.held.get('all', 0)) - now

    async def _pump(self, pair, way, reader, writer):
        try:
            while data := await reader.read(65536):
                while self._wait(pair.name) > 0:
                    await asyncio.sleep(0.02)
                order, pair.orders[way] = pair.orders[way], None
                if order:
                    self.struck += 1
                if order == 'flip':
                    at = len(data) // 2
                    data = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]
                elif order == 'drop':
                    continue
                elif order == 'duplicate':
                    data += data
                elif order == 'truncate':
                    data = data[:max(1, len(data) // 2)]
                writer.write(data)
                await writer.drain()
                if order == 'truncate':
                    break
        except OSError:
            pass
        try:
            writer.write_eof()
        except (OSError, RuntimeError):
            pass
        if pair.closed or pair.orders.get('gone'):
            self._close(pair)

    def _close(self, pair):
        pair.closed = True
        for w in pair.writers:
            try:
                w.close()
            except (OSError, RuntimeError):
                pass

    def order(self, fault):
        """Begin what the fault says; from any thread."""
        self.loop.call_soon_threadsafe(self._order, fault)

    def _order(self, fault):
        if fault.what in ('stall', 'partition'):
            self.held[fault.who] = self.loop.time() + fault.lasts_s
            self.struck += 1
            return
        for pair in self.pairs:
            if pair.closed or pair.name != fault.who:
                continue
            if fault.what in ('cut', 'reset'):
                for w in pair.writers:
                    sock = w.get_extra_info('socket')
                    if fault.what == 'reset' and sock:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        struct.pack('ii', 1, 0))
                    w.transport.abort()
                pair.closed = True
                self.struck += 1
            else:
                pair.orders[fault.side] = fault.what

    def heal(self):
        self.held = {}

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
