#!/bin/bash
# SPDX-License-Identifier: MIT
# The source's supervisor is killed at one call after the other, from the guest's suspend to its end:
# the guest runs again within 5 s and without a person, on one host, and no other copy stays.
# deadline: 400
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
on_host() {
    "$X" list "$1" | awk '$2 ~ /^g/ && $7 == "running"' | wc -l
}
one_runs() {
    [ $(($(on_host a) + $(on_host b))) -eq 1 ]
}
listen b
nth=0
while :; do
    # The rescuer asks the listener that the guest was given to, over TLS.
    "$X" list a | grep -q ' g ' || guest a g --type pvh --memory 32M
    nth=$((nth + 1))
    FAULT_IN=--live FAULT='after:"suspended",:kill' FAULT_NTH=$nth \
        xm a --live "127.0.0.1:$port" g --json >events 2>move
    code=$?
    [ $code -ne 0 ] || break
    [ $code -eq 137 ] || fail "call $nth: ended with $code: $(cat move)"
    died=$EPOCHREALTIME
    until one_runs; do
        echo "$EPOCHREALTIME $died" | awk '{ exit !($1 - $2 > 5) }' &&
            fail "call $nth: it does not run 5 s later: $("$X" list a) $("$X" list b) $(cat move)"
        sleep 0.05
    done
    settled() {
        one_runs && [ "$("$X" list a | wc -l)" -eq $(($(on_host a) + 1)) ] &&
            [ "$("$X" list b | wc -l)" -eq $(($(on_host b) + 1)) ]
    }
    wait_for 20 settled
    [ "$(on_host b)" -eq 0 ] || { must "$X" destroy b g; }
done
[ $nth -gt 20 ] || fail "only $nth calls"
echo "$nth calls"
