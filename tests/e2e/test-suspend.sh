#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest that refuses to suspend, one that takes its time, one that is asked in vain and resumed.
. "$E2E/lib.sh"
needs_stock
host a
host b
guest a slow --type pv --suspend slow:1s
start=$(date +%s)
stock_move a slow b --live
[ $(($(date +%s) - start)) -ge 1 ] || fail "the slow guest suspended at once"
whole b slow
guest a never --type pvh --suspend refuse
must_say "did not suspend within 500ms" "$X" suspend a never 500ms
state_is a never running
whole a never
guest a g --type pv
must "$X" suspend a g
state_is a g suspended
must "$X" resume a g
state_is a g running
sleep 0.2
whole a g
must "$X" suspend a g
must "$X" resume-slowly a g
sleep 0.3
state_is a g crashed
