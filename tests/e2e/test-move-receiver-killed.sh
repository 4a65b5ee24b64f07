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
# said WORDS: in the one line that says what failed, where, where the guest is, and what to do.
said() {
    [ "$(grep -c '^xmigrate: error' moving.err)" -eq 1 ] && grep -q "^xmigrate: error: $1" moving.err ||
        fail "said: $(cat moving.err)"
}
for signal in TERM KILL; do
    moving a g --bandwidth 100M
    kill -$signal "$(their_helper)"
    ended 3
    said 'b (127.0.0.1): .*; "g" runs on here'
    untouched a b g
    moving a g --bandwidth 100M
    kill -$signal "$(receiver)"
    ended 3
    said 'b (127.0.0.1).*; "g" runs on here'
    untouched a b g
done
said 'b (127.0.0.1), or the way there: .*; "g" runs on here: see whether xmigrate --listen there'
grep -q '"code":"\(cut-short\|connection-lost\)","side":"unknown"' moving.json || fail "$(tail -n 1 moving.json)"
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
