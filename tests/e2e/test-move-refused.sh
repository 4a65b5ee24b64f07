#!/bin/bash
# SPDX-License-Identifier: MIT
# What cannot be done is said in one line, with exit code 2, and the guest goes on untouched.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh
at=127.0.0.1:$port
refused 2 nobody a --live "$at" nobody
refused 2 nowhere.invalid a --live nowhere.invalid g
refused 2 'xmigrate --listen' a --live 127.0.0.1:1 g
refused 2 'insecure' a --live "$at" g --insecure
refused 1 'HOST' a --live g
# Somebody else's port.
python3 -c '
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True)
c, _ = s.accept(); c.sendall(b"SSH-2.0-OpenSSH_9.2p1 and so on, long enough\r\n")
c, _ = s.accept(); time.sleep(60)' >other &
echo $! >>pids
wait_for 20 test -s other
refused 2 "$(cat other)" a --live "127.0.0.1:$(cat other)" g
refused 2 "$(cat other)" a --live "127.0.0.1:$(cat other)" g --connect-timeout 500ms
# An xmigrate of another version, at either end.
python3 -c '
import socket, struct
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True)
c, _ = s.accept(); c.recv(32); c.sendall(b"\x9fxmigr\r\n" + struct.pack("<4H", 9, 1, 1, 0)); c.recv(1)' >newer &
echo $! >>pids
wait_for 20 test -s newer
refused 2 'speaks protocol version 9.1, this xmigrate' a --live "127.0.0.1:$(cat newer)" g
python3 -c '
import socket, struct, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
c.sendall(b"\x8fxmigr\r\n" + struct.pack("<4H", 9, 1, 0, 0xffff) + bytes(16))
sys.exit(struct.unpack("<4H", c.recv(16)[8:])[2] != 1)' "$port" || fail "b did not refuse version 9.1"
grep -q 'the peer speaks protocol version 9.1' listen-b.err || fail "b said: $(cat listen-b.err)"
# Peers that do not trust each other; both ends say the command that would change it.
must xm a --untrust b
refused 2 '--trust SHA256:' a --live "$at" g
trust a b
must xm b --untrust a
refused 2 '--trust SHA256:' a --live "$at" g
grep -q -e '--trust SHA256:' listen-b.err || fail "b said no command: $(cat listen-b.err)"
trust b a
# The domain.
must "$X" pause a g
refused 2 'paused' a --live "$at" g
must "$X" unpause a g
guest b g
refused 2 'g' a --live "$at" g
must "$X" destroy b g
moving a g --bandwidth 100M
refused 2 'already' a --live "$at" g
kill -TERM $mover
ended 3
untouched a b g
# PV without shadow paging cannot be tracked.
host c --no-shadow
mkdir -m 700 run-c
guest c g --type pv
refused 2 --offline c --live "$at" g
state_is c g running
