#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests of 256 MiB, of each type, with a pool of 1 GiB that they use all the time: sender, receiver and
# their helpers are killed at each stage of a move, in turn, and then it moves whole.
# deadline: 3600
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/large.sh"
. "$E2E/hvm.sh"
. "$E2E/move-kills.sh"
needs_memory 5
two_hosts --mem 2G --tmem
BANDWIDTH=5G
who=(sender sender-helper receiver receiver-helper)
turn=0
for type in pvh pv pv32 hvm; do
    options=(--type $type --memory 256M --dirty 3000 --tmem 1G --tmem-rate 2000)
    for stage in start round suspending suspended ready go; do
        begin "${options[@]}"
        strike ${who[turn % 4]} $stage progress <events
        [ -e struck ] || fail "$type: the move never came to $stage: $(cat move)"
        finish ${who[turn % 4]} $stage
        turn=$((turn + 1))
    done
    listen b
    guest a g "${options[@]}"
    move a g --lanes 3
    moved a b g
    must "$X" destroy b g
    kill $listener
    wait $listener 2>/dev/null
done
