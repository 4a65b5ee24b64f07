#!/bin/bash
# SPDX-License-Identifier: MIT
# --check says what is in the way of each kind of guest, of all things that are, and changes nothing.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b

# checked CODE WORDS [OPTION...]: of g on a.
checked() {
    local code=$1 words=$2 got
    shift 2
    xm a --check "$@" g >said 2>err
    got=$?
    [ $got -eq "$code" ] || fail "ended with $got, not $code: $(cat said err)"
    grep -q -- "$words" said || fail "said: $(cat said err), not '$words'"
    logdirty_is a g off
    ! ls "$T/run-a" | grep -E '^(out|in)-.*json|^domain-' || fail "it left something"
}

for type in pvh pv pv32 hvm; do
    guest a g --type $type --memory 16M
    checked 0 '^in the way: 0$'
    checked 0 'other host .* ok b .* takes it' "127.0.0.1:$port"
    state_is a g running
    "$X" pause a g
    checked 2 'state .* NO .*is paused'
    must "$X" destroy a g
done
guest a g --type pvh --memory 16M --feature-suspend 0
guest b g --memory 16M
checked 2 'suspend .* NO .*says that it cannot suspend' "127.0.0.1:$port"
checked 2 '"in_the_way":1' --json
checked 2 'other host .* NO ' "127.0.0.1:$port"
must "$X" destroy a g
must "$X" destroy b g
guest a g --type pvh --memory 64M
moving a g --bandwidth 20M --compress none
xm a --check g >said 2>&1
[ $? -eq 2 ] && grep -q 'hold .* NO .*already' said || fail "of one that is moved: $(cat said)"
kill -TERM $mover
ended 3
host c --no-shadow
guest c g --type pv --memory 16M
on c "$B/xmigrate" --check g >said 2>&1
[ $? -eq 2 ] && grep -q 'tracking .* NO .*shadow' said || fail "without shadow paging: $(cat said)"
refused 2 'there is no domain "h"' a --check h
