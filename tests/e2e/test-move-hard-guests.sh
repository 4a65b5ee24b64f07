#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests that make it hard move too: they balloon pages out and in, remap their tables all the
# time and start and end processes, in fragmented memory.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts --fragment 40
listen b
for type in pv pv32 pvh; do
    guest a g --type "$type" --balloon 500 --remap 2000 --fork 20
    sleep 0.5
    move a g
    moved a b g
    must "$X" destroy b g
done
guest a g --type pv --p2m tree --remap 2000
move a g
moved a b g
