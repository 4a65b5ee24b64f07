#!/bin/bash
# SPDX-License-Identifier: MIT
# Who encrypts is said, and a kernel that cannot makes no difference.
# deadline: 90
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
guest a g --type pvh --vcpus 1 --memory 32M --dirty 500
listen b
there=$port
listen a
back=$port

# said WORDS: so the summary has it.
said() { grep -q "^  encryption     $1\$" "$T/move" || fail "said: $(cat "$T/move")"; }
tls_by() { said "TLS 1.3, \(AES-128-GCM\|ChaCha20-Poly1305\), by $1"; }

port=$there
move a g
tls_by OpenSSL
moved a b g

who=OpenSSL
python3 - <<'END' && who='the kernel'
import socket
with socket.create_server(('127.0.0.1', 0)) as server, socket.create_connection(server.getsockname()) as s:
    s.setsockopt(socket.IPPROTO_TCP, 31, b'tls')
END
port=$back
move b g --kernel-tls
tls_by "$who"
moved b a g

port=$there
begin_move a --live "127.0.0.1:$port" g --kernel-tls
ended 0
grep -q "\"encryption\":\"TLS 1.3, [^\"]*, by $who\"" moving.json || fail "said: $(tail -n 1 moving.json)"
moved a b g
