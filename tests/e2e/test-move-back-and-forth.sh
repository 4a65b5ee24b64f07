#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest moves there and back several times, and to its own host; names and memory stay its own.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
two_hosts
emulator 7.2 b
listen b
to_b=$port
listen a
to_a=$port
for type in hvm pv; do
    guest a g --type $type
    for _ in 1 2 3 4 5; do
        port=$to_b
        move a g
        moved a b g
        port=$to_a
        move b g
        moved b a g
    done
    [ $type = pv ] || {
        dm_is a 'running, log-dirty off'
        must "$X" destroy a g
    }
done
move a g
state_is a g running
sleep 0.2
whole a g
is_gone a g--migratedaway
is_gone a g--incoming
