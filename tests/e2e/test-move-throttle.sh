#!/bin/bash
# SPDX-License-Identifier: MIT
# --on-stall throttle: a guest that writes faster than the link carries away is slowed down until
# the pause is as short as asked, and has its own cap again afterwards, however the move ends.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
# Far below what it writes, also when this machine has little time for the guest, and room in the
# pause for what earlier arrivals took on such a machine, which no slower guest would shorten.
slow="--bandwidth 100M --compress none --max-downtime 1500ms"
busy() {
    guest a g --type "${1:-pvh}" --memory 48M --vcpus 2 --dirty 24000
    must "$X" cap a g "${2:-150}"
}
cap_is() { # HOST DOMAIN PERCENT
    local cap
    cap=$("$X" cap "$1" "$2")
    [ "$cap" = "$3" ] || fail "domain $2 on $1 is capped at '$cap', not at $3"
}
# rate_of HOST DOMAIN: pages that it writes in a second.
rate_of() {
    local before
    before=$("$X" writes "$1" "$2")
    sleep 1
    echo $(($("$X" writes "$1" "$2") - before))
}

# Without it the guest is suspended with too long a pause, with it the pause is as asked.
busy
move a g $slow
grep -q 'suspending all the same' move || fail "it did not stall: $(cat move)"
cap_is b g 150
must "$X" destroy b g
busy
xm a --live "127.0.0.1:$port" g --json --on-stall throttle $slow >move.json 2>move.err ||
    fail "$(tail -n 3 move.err)"
moved a b g
cap_is b g 150
must python3 - <<'PY'
import json
events = [json.loads(line) for line in open('move.json')]
decisions = [e for e in events if e['event'] == 'decision']
steps = [d for d in decisions if d['action'] == 'throttle']
caps = [e['cap_percent'] for e in events if e['event'] == 'cap']
assert steps and all(d['reason'] == 'slower' for d in steps), decisions
assert decisions[-1]['reason'] == 'downtime', decisions[-1]
assert events[-1]['predicted_downtime_ns'] <= 1500e6, events[-1]
# Each step goes further, and the last word is the guest's own cap, before it stands still.
assert len(caps) == len(steps) + 1 and caps[-1] == 150, caps
assert all(b < a for a, b in zip(caps[:-1], caps[1:-1])) and caps[0] < 150, caps
kinds = [e['event'] for e in events]
assert kinds.index('suspending') < max(i for i, k in enumerate(kinds) if k == 'cap'), kinds
assert kinds.index('suspended') < kinds.index('ready'), kinds
PY
grep -q 'slowing the guest to [0-9]* % of the processor time' move.err || fail "$(cat move.err)"
must "$X" destroy b g

# lowered: the move under way has slowed the guest down.
lowered() {
    kill -0 $mover 2>/dev/null || fail "it ended: $(cat moving.err)"
    grep -qs '"cap"' moving.json
}
# begin TYPE CAP: a move that is at it, on so slow a wire that it stays so for a while.
begin() {
    busy "$1" "$2"
    moving a g --on-stall throttle --compress none --bandwidth 60M --max-downtime 1500ms
    wait_for 60 lowered
    [ "$("$X" cap a g)" -ne "$2" ] || fail "its cap is as it was"
    [ "$(rate_of a g)" -lt 12000 ] || fail "it writes as fast as before"
}

begin pvh 150
kill -TERM $mover
ended 3
cap_is a g 150
untouched a b g
[ "$(rate_of a g)" -gt 12000 ] || fail "it is still slow"
must "$X" destroy a g

begin pv 0
kill -KILL "$(helper)"
ended 3
cap_is a g 0
untouched a b g
must "$X" destroy a g

# The sender alone: its helper notices and puts everything right.
begin pvh 120
kill -KILL $mover
ended 137
cap_is_back() {
    [ "$("$X" cap a g)" -eq 120 ]
}
wait_for 20 cap_is_back
untouched_by_then() {
    ! ls run-a | grep -q '^out-.*json'
}
wait_for 20 untouched_by_then
untouched a b g
must "$X" destroy a g

# All at once (supervisor, helper, rescuer): --recover, and a listener at its start.
for how in recover listener; do
    begin pvh 150
    grep -q '"cap": 150' run-a/out-*.json || fail "not recorded: $(cat run-a/out-*.json)"
    kill_at_once $mover $(pgrep -P $mover)
    ended 137
    [ "$("$X" cap a g)" -ne 150 ] || fail "nobody can have put it back"
    must_not_move=$(xm a --live "127.0.0.1:$port" g 2>&1) && fail "moved over what was left"
    case $must_not_move in *--recover*) ;; *) fail "it said: $must_not_move" ;; esac
    if [ $how = recover ]; then
        must on a "$B/xmigrate" --recover
    else
        listening=$port
        listen a
        kill $listener
        port=$listening
    fi
    cap_is a g 150
    untouched a b g
    must "$X" destroy a g
done

# Schedulers that have no cap: said before anything is done.
host c --sched null
mkdir -p -m 700 run-c
guest c g --type pvh
refused 2 'scheduled by "null", which cannot cap its processor time' c \
    --live "127.0.0.1:$port" g --on-stall throttle
state_is c g running
logdirty_is c g off
