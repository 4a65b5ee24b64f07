#!/bin/bash
# SPDX-License-Identifier: MIT
# Somebody unpauses the copy while it is built, which may take long for a guest that is prepared
# early. It must not run before the guest is given away: the guest runs on at the source, and only
# there.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts --mem 2G

for type in pvh pv; do
    guest a g --type $type --memory 32M
    listen b
    moving a g --bandwidth 60M --max-rounds 1
    must "$X" unpause b g--incoming
    ended 3
    grep -q 'was unpaused' "$T/moving.err" || fail "$(cat "$T/moving.err")"
    untouched a b g
    kill "$listener"
    wait "$listener" 2>/dev/null
    must "$X" destroy a g
done
