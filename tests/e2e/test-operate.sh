#!/bin/bash
# SPDX-License-Identifier: MIT
# --status at both ends, --set within a second, --cancel at either end: before GO it is certain, after
# it too late.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh --dirty 1000

# status HOST FIELD: of g there.
status() {
    on "$1" "$B/xmigrate" --status g --json 2>/dev/null |
        python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())[sys.argv[1]])' "$2" 2>/dev/null
}

is() { # HOST FIELD VALUE
    [ "$(status "$1" "$2")" = "$3" ]
}

order() { # HOST CODE WORDS OPTION...: ends with that code and says the words
    local code=$2 words=$3 said got
    said=$(on "$1" "$B/xmigrate" "${@:4}" 2>&1)
    got=$?
    [ $got -eq "$code" ] || fail "ended with $got, not $code: ${*:4}: $said"
    case $said in *"$words"*) ;; *) fail "said '$said', not '$words': ${*:4}" ;; esac
}

order a 2 'no migration of "g" is under way' --status g
order a 2 'no migration of "g" is under way' --cancel g
must on a "$B/xmigrate" --status

# Slow, seen at both ends, and then not slow any more.
moving a g --bandwidth 40M --lanes 2
wait_for 20 is a phase copying
is a direction out && is a pid $mover && is a round 1 || fail "$(on a "$B/xmigrate" --status --json)"
wait_for 20 is b direction in
is b phase coming || fail "$(on b "$B/xmigrate" --status --json)"
# What the other host says of itself, if it trusts this one with that.
there=127.0.0.1:$port
must xm a --status --peer "$there" --json >there
[ "$(python3 -c 'import json; print(json.loads(open("there").readline())["direction"])')" = in ] ||
    fail "said: $(cat there)"
refused 2 'no migration of "h" is under way on 127.0.0.1' a --status h --peer "$there"
xm a --status --peer "$there" | grep -q '^in   g ' || fail "$(xm a --status --peer "$there")"
must xm b --trust "$(fingerprint a)" a status
must xm a --status --peer "$there" >/dev/null
must xm b --trust "$(fingerprint a)" a receive
refused 2 'but not for this' a --status --peer "$there"
must xm b --trust "$(fingerprint a)" a send,receive,status
on a "$B/xmigrate" --status | grep -q 'out  g ' || fail "$(on a "$B/xmigrate" --status)"
python3 - "$T/run-a/admin-$mover" <<'END' || fail "a client that stalls"
import socket, sys
stalled = [socket.socket(socket.AF_UNIX) for _ in range(20)]
for s in stalled:
    s.connect(sys.argv[1])
    s.send(b'{')
asking = socket.socket(socket.AF_UNIX)
asking.settimeout(2)
asking.connect(sys.argv[1])
asking.send(b'{"do": "status"}\n')
assert b'"ok":true' in asking.recv(4096)
END
order a 2 contradict --set g max-downtime=0 on-stall=abort
order b 2 'the host that the guest comes from' --set g bandwidth=1G
order a 0 '' --set g bandwidth=none &
order a 0 '' --set g max-downtime=1s
wait $!
start=$(date +%s%N)
ended 0
took=$((($(date +%s%N) - start) / 1000000))
[ "$took" -lt ${SAN:+3}8000 ] || fail "it took $took ms after the cap was lifted"
moved a b g
! ls "$T"/run-?/admin-* 2>/dev/null || fail "sockets are left"

# The cap of one that had none holds within a second.
listen a
moving b g --bandwidth 200M --lanes 2
order b 0 '' --set g bandwidth=8M
set_at=$(wc -l <moving.json)
sleep 5
python3 - "$set_at" <<'END' || fail "the cap does not hold"
import json, sys
events = [json.loads(line) for line in open('moving.json').read().splitlines(True) if line.endswith('\n')]
start_ns = events[int(sys.argv[1]) - 1]['elapsed_ns'] + 1e9
after = [e for e in events if e['event'] == 'progress' and e['elapsed_ns'] > start_ns]
rate = (after[-1]['wire_bytes'] - after[0]['wire_bytes']) * 8e9 / (after[-1]['elapsed_ns'] - after[0]['elapsed_ns'])
assert len(after) > 5 and rate < 12e6, f'{rate / 1e6:.1f} Mbit/s in {len(after)} events'
END
order b 0 '' --cancel g
ended 3
grep -q 'cancelled with xmigrate --cancel' moving.err || fail "said: $(cat moving.err)"
untouched b a g

# At the destination.
moving b g --bandwidth 40M
wait_for 20 is a direction in
order a 0 '' --cancel g
ended 3
grep -q 'a (127.0.0.1): .*cancelled with xmigrate --cancel; "g" runs on here' moving.err || fail "said: $(cat moving.err)"
untouched b a g

# While "given" is written it is not too late: the guest stays.
FAULT_IN=--live FAULT='record:"given":sleep=8' FAULT_LOG=$T/struck \
    moving b g --bandwidth 400M --start-timeout 30s
struck() { [ -s "$T/struck" ]; }
wait_for 60 struck
order b 0 '' --cancel g
ended 3
untouched b a g

# When it was given away it is.
kill $listener
rm "$T/struck"
FAULT_IN=--listen FAULT='record:"taken":sleep=8' FAULT_LOG=$T/struck listen a
moving b g --bandwidth 400M --start-timeout 30s
wait_for 60 is b phase given
order b 4 'too late' --cancel g
# But not for the host that it was given to, until it starts it: it is given back.
order a 0 '' --cancel g
ended 3
untouched b a g

moving b g --bandwidth 400M --start-timeout 30s
wait_for 60 is b phase given
order b 4 'too late' --cancel g
ended 0
moved b a g
