#!/bin/bash
# SPDX-License-Identifier: MIT
# What became of a guest is asked of the host that it was given to: another one, which is trusted as
# well, cannot say it.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
host c
mkdir -p -m 700 "$T/run-c"
trust a c
trust c a

# The record of a move with TLS has the other host's key.
guest a h --type pvh
listen b
moving a h --bandwidth 20M --compress none
wait_for 20 grep -q "\"peer_key\": \"$(fingerprint b)\"" run-a/out-*.json
kill "$mover"
wait "$mover"
state_is a h running
must "$X" destroy a h

listen b --insecure
guest a g --type pvh --dirty 500
wire after-go
xm a --live "127.0.0.1:$(cat wire.after-go)" g --insecure >move 2>&1
[ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
state_is a g--migratedaway suspended

# The wire can only be cut in plain text: let the record be one of a move with TLS.
listen c
sed -i "s/\"port\": [0-9]*/\"port\": $port/; s/\"insecure\": true/\"insecure\": false/
    s,\"peer_key\": \"\",\"peer_key\": \"$(fingerprint b)\"," run-a/out-*.json
xm a --resolve >resolve 2>&1
[ $? -eq 4 ] || fail "settled by a stranger: $(cat resolve)"
grep -q 'somebody else answers there' resolve || fail "said: $(cat resolve)"
state_is a g--migratedaway suspended
