#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest of which `xl mem-set` asks, while it moves, to have less memory or more: its copy was told of
# what it had before, so it stays, and moves when it is asked to again.
# deadline: 200
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
two_hosts
listen b
mem_set() {
    must on a "$B/e2e/poke" "$("$X" list a | awk '$2 == "g" { print $1 }')" limit "$1"
}
for type in pv pvh hvm; do
    guest a g --type $type --memory 64M --balloon 1000
    for kib in 60000 70000; do
        moving a g --bandwidth 100M --max-rounds 1
        mem_set $kib
        ended 3
        grep -q 'another limit of memory (xl mem-set' "$T/moving.err" || fail "$(cat "$T/moving.err")"
        untouched a b g
    done
    move a g
    moved a b g
    must "$X" destroy b g
done
