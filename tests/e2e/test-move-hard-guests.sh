#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests that make it hard move too: they balloon pages out and in, remap their tables all the
# time and start and end processes, in fragmented memory.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
two_hosts --fragment 40
emulator 7.2 b
listen b
for type in pv pv32 pvh; do
    guest a g --type "$type" --balloon 500 --remap 2000 --fork 20
    sleep 0.5
    move a g
    moved a b g
    must "$X" destroy b g
done
# An HVM guest's device model writes to its memory besides.
guest a g --type hvm --memory 512M --balloon 500 --fork 20 --dma 500
sleep 0.5
move a g
moved a b g
must "$X" destroy b g
guest a g --type pv --p2m tree --remap 2000
move a g
moved a b g
