#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest that has answered the request to suspend acts on it even when the move has failed in the
# meantime: it is resumed then, by whoever is left.
# deadline: 200
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh --memory 32M --suspend late:2s
asked() {
    grep -q '"suspending"' "$T/moving.json"
}
suspends() {
    "$X" list a | grep -q ' g .*suspended'
}
moving a g --bandwidth 300M
wait_for 20 asked
kill -9 "$(helper)"
ended 3
grep -q 'may still do so' "$T/moving.err" || fail "it said: $(cat "$T/moving.err")"
untouched a b g

moving a g --bandwidth 300M
wait_for 20 asked
kill_at_once "$mover" $(pgrep -P "$mover")
wait "$mover" 2>/dev/null
wait_for 20 suspends
must on a "$B/xmigrate" --recover
untouched a b g

# Its rescuer lives, and looks before the guest suspends.
moving a g --bandwidth 300M
wait_for 20 asked
kill_at_once "$mover" "$(helper)"
wait "$mover" 2>/dev/null
resumed() {
    grep -q 'it is resumed here' "$T/moving.err"
}
wait_for 30 resumed
untouched a b g
