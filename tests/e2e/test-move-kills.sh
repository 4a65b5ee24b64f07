#!/bin/bash
# SPDX-License-Identifier: MIT
# The sender, its helper, the receiver and its helper, killed with SIGKILL at every stage of a move,
# and at some moments between: the guest is whole in exactly one place, with what it keeps in transcendent
# memory. Types take turns.
# deadline: 600
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/move-kills.sh"
two_hosts --tmem
types=(pv pvh pv32)
turn=0
next_guest() {
    local type=${types[turn++ % 3]} remap=300
    [ $type != pvh ] || remap=0
    begin --type $type --memory 64M --dirty 3000 --remap $remap --tmem 4M --tmem-rate 500
}
for who in sender sender-helper receiver receiver-helper; do
    for stage in start round suspending suspended ready go; do
        next_guest
        strike $who $stage progress <events
        [ -e struck ] || fail "the move never came to $stage: $(cat move)"
        finish $who $stage
    done
    for delay in 0.1 0.3 0.6; do
        next_guest
        cat events >>seen &
        sleep $delay
        pids=$(victims $who)
        [ -z "$pids" ] || kill -9 $pids 2>/dev/null
        finish $who "$delay s"
    done
    turn=$((turn + 1)) # another type at each stage
done
