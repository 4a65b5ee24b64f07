#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest that takes its time to suspend is waited for; one that refuses stays and runs on.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a slow --type pv --suspend slow:2s
move a slow
moved a b slow
must "$X" destroy b slow
guest a never --type pvh --suspend refuse
xm a --live "127.0.0.1:$port" never --suspend-timeout 2s >said 2>&1
[ $? -eq 3 ] || fail "ended with $?, not 3: $(cat said)"
grep -q 'did not suspend' said || fail "said $(cat said)"
untouched a b never
