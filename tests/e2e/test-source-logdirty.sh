#!/bin/bash
# Log-dirty is a switch that others can reach. Found on: refused, and left as it is. Switched off
# while the guest moves: seen before the last round, and the guest stays.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
shadow_op() {
    must "$X" run a -- python3 "$E2E/shadow_op.py" 1 "$1"
}
guest a g --type pvh --dirty 2000
shadow_op 2
refused 2 "log-dirty is already on" a --live "127.0.0.1:$port" g -q
logdirty_is a g on
state_is a g running
shadow_op 0

moving a g --bandwidth 300M
shadow_op 0
ended 3
grep -q 'switched log-dirty off' "$T/moving.err" || fail "it said: $(cat "$T/moving.err")"
untouched a b g
move a g
moved a b g
