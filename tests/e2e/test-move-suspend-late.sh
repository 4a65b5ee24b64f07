#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest is asked to suspend, and the move ends before it has: the limit passes, or the helper, the
# supervisor or both are killed. If the guest has not acknowledged that yet, it is taken back: the
# guest runs on, at once and for good. If it has, it suspends, and whoever is left resumes it.
# deadline: 400
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
suspends() {
    "$X" list a | grep -q ' g .*suspended'
}
runs() {
    ! suspends
}
no_record() {
    ! ls "$T/state-a" "$T/run-a" 2>/dev/null | grep -q '^out-.*json'
}
# asking HOW [OPTION...]: a guest that answers like that is asked.
asking() {
    guest a g --type pvh --memory 32M --suspend "$1"
    moving a g --bandwidth 300M "${@:2}"
    wait_for 20 grep -q '"suspending"' "$T/moving.json"
    since=$SECONDS
    sleep 0.3
}
# still: it was taken back. The guest would have answered 3 s after it was asked.
still() {
    [ $((SECONDS - since)) -le 2 ] || fail "$1: it took $((SECONDS - since)) s to take it back"
    while [ $((SECONDS - since)) -le 4 ]; do
        ! suspends || fail "$1: the guest suspended after the request was taken back"
        sleep 0.1
    done
    over "$1"
}
# resumed: it suspended, 3 s after it was asked, and runs again.
resumed() {
    [ $((SECONDS - since)) -ge 2 ] || fail "$1: nobody waited for the guest"
    wait_for 10 runs
    over "$1"
}
over() {
    wait_for 20 no_record
    untouched a b g
    must "$X" destroy a g
    echo "$1: well"
}
for how in slow late; do
    verdict=still
    [ $how = slow ] || verdict=resumed
    asking $how:3s --suspend-timeout 1s
    ended 3
    grep -q 'did not suspend within' "$T/moving.err" || fail "it said: $(cat "$T/moving.err")"
    $verdict "$how, the limit"

    asking $how:3s
    kill -INT $mover
    ended 3
    $verdict "$how, a signal"

    asking $how:3s
    kill -9 "$(helper)"
    ended 3
    $verdict "$how, helper killed"

    # The helper brings it back, and --recover the rest.
    asking $how:3s
    kill -9 $mover
    wait $mover 2>/dev/null
    wait_for 20 no_record
    $verdict "$how, supervisor killed"

    # The rescuer lives.
    asking $how:3s
    kill_at_once $mover "$(helper)"
    wait $mover 2>/dev/null
    wait_for 20 no_record
    $verdict "$how, both killed"

    asking $how:3s
    kill_at_once $mover $(pgrep -P $mover)
    wait $mover 2>/dev/null
    must on a "$B/xmigrate" --recover
    $verdict "$how, all killed"
done

# Nobody is left, and it suspends before anybody looks.
asking late:1s
kill_at_once $mover $(pgrep -P $mover)
wait $mover 2>/dev/null
wait_for 20 suspends
must on a "$B/xmigrate" --recover
over "looked at later"
