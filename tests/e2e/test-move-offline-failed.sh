#!/bin/bash
# SPDX-License-Identifier: MIT
# A PV guest on a Xen without shadow paging can only move offline; when that fails while it is
# suspended it runs on, although Xen answers EINVAL when its log-dirty mode is switched off.
. "$E2E/lib.sh"
. "$E2E/move.sh"
host a --no-shadow
host b
mkdir -p -m 700 "$T/run-a" "$T/run-b"
trust a b
trust b a
listen b
guest a g --type pv
xmigrate_on a --offline "127.0.0.1:$port" g --bandwidth 100M --json
launch said err "${command[@]}"
mover=$launched
wait_for 20 grep -q '"progress"' said
state_is a g suspended
kill -KILL "$(pgrep -x -P "$listener" xmigrate)" || fail "no receiver to kill"
wait $mover
[ $? -eq 3 ] || fail "ended with $?, not 3: $(cat err)"
untouched a b g
xm a --offline "127.0.0.1:$port" g >said 2>&1 || fail "offline: $(tail -n 3 said)"
moved a b g
