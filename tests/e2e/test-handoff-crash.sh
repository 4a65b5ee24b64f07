#!/bin/bash
# SPDX-License-Identifier: MIT
# The source's supervisor is killed at one call after the other, from the guest's suspend to its end:
# the guest runs again within 5 s and without a person, on one host, unless GO may have been sent.
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
nth=0 doubts=0
listen b --insecure
guest a g --type pvh --memory 32M
while :; do
    nth=$((nth + 1))
    FAULT_IN=--live FAULT='after:"suspended":kill' FAULT_NTH=$nth \
        xm a --live "127.0.0.1:$port" g --insecure --json >events 2>move
    code=$?
    [ $code -ne 0 ] || break
    [ $code -eq 137 ] || fail "call $nth: ended with $code: $(cat move)"
    died=$EPOCHREALTIME
    until one_runs; do
        echo "$EPOCHREALTIME $died" | awk '{ exit !($1 - $2 > 5) }' && break
        sleep 0.05
    done
    if ! one_runs; then
        grep -q '"given"' run-a/out-*.json 2>/dev/null ||
            fail "call $nth: it does not run 5 s later: $("$X" list a) $("$X" list b) $(tail -n 2 events)"
        doubts=$((doubts + 1))
        break
    fi
    sleep 0.3
    one_runs || fail "call $nth: it runs twice: $("$X" list a) $("$X" list b)"
done
echo "$nth calls, $doubts in doubt"
