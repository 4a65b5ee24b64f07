#!/bin/bash
# SPDX-License-Identifier: MIT
# This host's key is in no process that reads what another host sends, but for the time of its
# handshakes: not in the acceptor; not in a relay whose peer has proven who it is; not in the engines.
. "$E2E/lib.sh"
. "$E2E/move.sh"
[ -z "$SAN" ] || skip "a sanitizer keeps what was freed, in terabytes of addresses"
two_hosts

holds() { # PID HOST
    python3 "$E2E/holds_key.py" "$1" "$T/etc-$2/key.pem"
}

forgot() { # PID HOST
    local found
    found=$(holds "$1" "$2") && fail "$(cat "/proc/$1/comm") ($1) has $found"
    [ -e "/proc/$1" ] || fail "$1 has ended too soon: $(tail -n 1 moving.err)"
}

listen b
guest a g --type pvh --memory 64M

# So would it be seen: a relay that a stranger keeps waiting.
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf '\x8fxmigr\r\n\3\0\0\0\0\0\xff\xff%016d' 0 | tr 0 '\0' >&3
wait_for 10 eval 'relay=$(pgrep -x -P "$listener" xmigrate-relay) && holds "$relay" b'
exec 3<&- 3>&-
wait_for 20 eval '! pgrep -x -P "$listener" xmigrate-relay'

moving a g --bandwidth 20M
forgot "$(pgrep -x -P "$listener" xmigrate-accept)" b
forgot "$(pgrep -x -P "$listener" xmigrate-relay)" b
receiver=$(pgrep -x -P "$listener" xmigrate)
forgot "$receiver" b
forgot "$(pgrep -n -s "$receiver" -f save-helper)" b
forgot "$(helper)" a
kill "$mover"
ended 3
untouched a b g
