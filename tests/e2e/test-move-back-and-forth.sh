#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest moves there and back several times, and to its own host; names and memory stay its own.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
to_b=$port
listen a
to_a=$port
guest a g --type pv
for _ in 1 2 3; do
    port=$to_b
    move a g
    moved a b g
    port=$to_a
    move b g
    moved b a g
done
move a g
state_is a g running
sleep 0.2
whole a g
is_gone a g--migratedaway
is_gone a g--incoming
