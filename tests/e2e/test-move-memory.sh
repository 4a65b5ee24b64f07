#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests whose memory is hard to move: ballooned, on fragmented hosts, page tables rewritten and
# pinned all the time, each P2M layout, and a guest at the top of a sparse address space.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
host a --mem 768M
host b --mem 768M --fragment 100
mkdir -p -m 700 "$T/run-a" "$T/run-b"
trust a b
trust b a
listen b
# there NAME OPTION...: a guest with these options moves and is whole, and moves on after it ran.
there() {
    local name=$1
    shift
    guest a "$name" --memory 96M "$@"
    sleep 0.5
    move a "$name" --lanes 3
    moved a b "$name"
    must "$X" destroy b "$name"
}
for type in pv pv32; do
    there "$type-tree" --type $type --p2m tree --remap 3000 --fork 100
    there "$type-list" --type $type --remap 5000 --fork 200
    there "$type-hot" --type $type --pattern hot --dirty 20000 --remap 500
    there "$type-balloon" --type $type --balloon 100 --remap 1000
done
there pvh-balloon --type pvh --balloon 1000
there pvh-random --type pvh --content random=100
there pvh-zero --type pvh --content zero=100
there pvh-sparse --type pvh --address-space 64G
there pvh-many --type pvh --vcpus 8 --pattern sequential
