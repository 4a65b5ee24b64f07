#!/bin/bash
# SPDX-License-Identifier: MIT
# A device model that is started while the guest still runs at the source, and waits for its state: it
# does not start, dies before its state comes or of that, never loads it. Each time the guest runs on
# where it was, and nothing is left of the copy.
# deadline: 180
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
two_hosts
hvm_guest a g --dirty 1000 --vif

# starts DEVICES [OPTION...]: a move whose destination starts the device model early.
starts() {
    XENSIM_DEVICES=$1 listen b
    moving a g -v --bandwidth 200M "${@:2}"
    wait_for 30 has_said "$mover" 'told to build' "$T/moving.err"
}

waits() {
    wait_for 20 model_waits
}

model_waits() { [ "$("$X" dm b g--incoming 2>/dev/null)" = 'waiting, log-dirty off' ]; }

# stays WORDS: the move fails, for that reason.
stays() {
    ended 3
    grep -q "$1" "$T/moving.err" || fail "nobody said '$1': $(cat "$T/moving.err")"
    wait_for 20 nothing_on b
    untouched a b g
    dm_is a 'running, log-dirty off'
    no_fifo
    kill "$listener"
    wait "$listener" 2>/dev/null
}

no_fifo() {
    [ -z "$(find "$T" -name 'qemu-resume.*')" ] || fail "the FIFO is left"
}

never_suspended() {
    ! grep -q '"suspending"' "$T/moving.json" || fail "the guest was suspended"
}

starts fail=dm
stays 'device model did not start'
never_suspended

starts time=3s
waits
must "$X" dm b g--incoming die
stays 'has died before its state came'
never_suspended

starts time=1s
waits
must "$X" dm b g--incoming die-loading
stays 'did not load its state'

starts time=1s
waits
must "$X" dm b g--incoming never-load
stays 'does not load its state in time'

# A map of the guest's memory in xenstore would have had to be there when it was started.
starts time=2s
must "$X" dm a g physmap on
stays 'keeps a map of the guest'

# Well: it waits while the guest runs, and runs when the guest does.
must "$X" dm a g physmap off
starts time=1s
waits
ended 0
moved a b g
dm_is b 'running, log-dirty off'
no_fifo
must "$X" destroy b g
kill "$listener"
wait "$listener" 2>/dev/null

# With such a map from the beginning it is started in the pause.
hvm_guest a g --dirty 1000 --vif
must "$X" dm a g physmap on
listen b
moving a g -v --bandwidth 200M
ended 0
grep -q 'keeps a map of its memory' "$T/moving.err" || fail "$(cat "$T/moving.err")"
! grep -q 'ready for g, which still runs' "$T/listen-b.err" || fail "it was started early"
moved a b g
dm_is b 'running, log-dirty off'
