#!/bin/bash
# SPDX-License-Identifier: MIT
# The destination is killed in the middle, piece by piece, with both signals: the guest runs on at
# the source and nothing stays at the destination. A migration outlives the acceptor.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pv --memory 256M
receiver() { pgrep -n -x -P "$listener" xmigrate; } # the last one may still say goodbye
their_helper() { pgrep -P "$(receiver)" -f save-helper; }
for signal in TERM KILL; do
    moving a g --bandwidth 100M
    kill -$signal "$(their_helper)"
    ended 3
    untouched a b g
    moving a g --bandwidth 100M
    kill -$signal "$(receiver)"
    ended 3
    untouched a b g
done
# All of the destination at once: the next listener cleans up.
moving a g --bandwidth 100M
kill -KILL "$listener" "$(their_helper)" "$(receiver)"
ended 3
listen b
untouched a b g
# The acceptor alone.
for signal in TERM KILL; do
    moving a g --bandwidth 200M
    kill -$signal "$listener"
    ended 0
    moved a b g
    must "$X" destroy b g
    listen b
    guest a g --type pv --memory 256M
done
