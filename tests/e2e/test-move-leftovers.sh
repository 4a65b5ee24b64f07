#!/bin/bash
# SPDX-License-Identifier: MIT
# Moves leave nothing behind at either host: no lock, no spare file, and of the monitor nothing once
# its guest is gone.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
# left HOST: files that are no memory of what was learnt, and no journal's id.
left() {
    find "$T/run-$1" -type f ! -name id ! -name finish ! -name suspend ! -name start ! -name metrics ! -name departed -printf '%f\n'
}
nothing_left() {
    local end=$((SECONDS + 20))
    while [ -n "$(left "$1")" ]; do
        [ $SECONDS -lt $end ] || fail "left on $1: $(left "$1"): $(cat "$T/run-$1"/monitor-*.log; pgrep -af -- --monitor)"
        sleep 0.2
    done
}
watched() {
    grep -qs watching "$T/run-a"/monitor-*.log
}
for type in pvh pv; do
    listen b
    guest a g --type $type
    move a g
    listen a
    move b g
    nothing_left b
    # Where it runs it has its monitor, which finds the guest there before it is gone.
    wait_for 20 watched
    [ -z "$(left a | grep -v '^monitor-.*\.\(lock\|log\)$')" ] || fail "left on a: $(left a)"
    for log in "$T/run-a"/monitor-*.log; do : >"$log.1"; done # as logrotate leaves it
    must "$X" destroy a g
    nothing_left a
    kill "$(tail -n 1 pids)" "$(tail -n 2 pids | head -n 1)"
done
