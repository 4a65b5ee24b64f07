#!/bin/bash
# SPDX-License-Identifier: MIT
# A signal to the sender, its helper, or both in the middle: the guest stays, and can move after.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh --memory 256M
for signal in TERM INT HUP; do
    moving a g --bandwidth 100M
    kill -$signal $mover
    ended 3
    untouched a b g
done
for signal in TERM KILL; do
    moving a g --bandwidth 100M
    kill -$signal "$(helper)"
    ended 3
    grep -q 'error' moving.err || fail "no word: $(cat moving.err)"
    untouched a b g
done
# Also in the last round, while it is suspended.
begin_move a --offline "127.0.0.1:$port" g --bandwidth 100M
wait_for 20 grep -q '"progress"' moving.json
kill -TERM $mover
ended 3
grep -q 'error: stopped by a signal; "g" runs on here' moving.err || fail "said: $(cat moving.err)"
untouched a b g
# A second signal does not cut the cleanup short.
moving a g --bandwidth 100M
kill -TERM $mover
kill -INT $mover 2>/dev/null
kill -TERM $mover 2>/dev/null
ended 3
untouched a b g
# Both at once: the state file is for --recover.
moving a g --bandwidth 100M
kill_at_once $mover "$(helper)"
ended 137
must on a "$B/xmigrate" --recover
untouched a b g
move a g
moved a b g
