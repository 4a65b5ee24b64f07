#!/bin/bash
# SPDX-License-Identifier: MIT
# Log-dirty is a switch that others can reach. Found on: refused, and left as it is; left as well
# when the move ends before it came to look. Switched off while the guest moves, or off and on again:
# seen, and the guest stays.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
shadow_op() { # DOMAIN OP...
    must "$X" run a -- python3 "$E2E/shadow_op.py" "$("$X" id a "$1")" "${@:2}"
}
guest a g --type pvh --dirty 2000
shadow_op g 2
refused 2 "log-dirty is already on" a --live "127.0.0.1:$port" g -q
logdirty_is a g on
state_is a g running

# A move that never got as far as the guest: stopped, or killed and recovered.
wire mute
begin() {
    begin_move a --live "127.0.0.1:$(cat wire.mute)" g
    wait_for 20 helper >/dev/null
}
begin
kill -TERM $mover
ended 3
logdirty_is a g on
begin
kill_at_once $mover "$(helper)"
ended 137
must on a "$B/xmigrate" --recover
logdirty_is a g on
shadow_op g 0

moving a g --bandwidth 100M
shadow_op g 0
ended 3
grep -q 'switched log-dirty off' "$T/moving.err" || fail "it said: $(cat "$T/moving.err")"
untouched a b g

guest a pv --type pv --dirty 2000
for name in g pv; do
    moving a $name --bandwidth 100M
    # Nobody marks frames of a PV guest: there it is what a PEEK has shown, one in 4 MiB sent.
    sleep 1
    shadow_op $name 0 2
    ended 3
    grep -q 'switched log-dirty off for domain .* or cleared it' "$T/moving.err" ||
        fail "it said: $(cat "$T/moving.err")"
    untouched a b $name
    move a $name
    moved a b $name
    must "$X" destroy b $name
done
