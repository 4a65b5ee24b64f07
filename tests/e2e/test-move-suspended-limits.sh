#!/bin/bash
# SPDX-License-Identifier: MIT
# Whoever hangs while the guest is suspended, the guest runs again within 10 s, with the limits as they
# are by default.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
guest a g --type pvh --memory 32M --dirty 1000
runs() {
    "$X" list a | grep -q ' g .*running'
}
# hangs WHO WORDS: the process with WHO in its command line stops at a call behind the suspend.
hangs() {
    local began
    rm -f gate struck
    export FAULT=call:any:stop FAULT_IN=$1 FAULT_GATE=$T/gate FAULT_LOG=$T/struck \
        FAULT_OPENS='"event":"suspended"'
    [ "$1" = --save-domain ] && export FAULT_NTH=3
    listen b
    moving a g --bandwidth 300M
    wait_for 30 test -e struck
    began=$EPOCHREALTIME
    unset FAULT FAULT_IN FAULT_GATE FAULT_LOG FAULT_OPENS FAULT_NTH
    wait_for 20 runs
    echo "$1: runs again after $(echo "$EPOCHREALTIME $began" | awk '{ print $1 - $2 }') s"
    echo "$EPOCHREALTIME $began" | awk '{ exit !($1 - $2 < 10) }' || fail "it took too long"
    ended 3
    grep -q "$2" moving.err || fail "it said: $(cat moving.err)"
    kill -CONT $(cut -d' ' -f2 struck) 2>/dev/null
    untouched a b g
    kill -KILL "$listener" # it may have stopped itself just now
    wait "$listener" 2>/dev/null || :
}
hangs --save-domain 'the save helper hangs: nothing heard of it for 5.00 s'
hangs --restore-domain 'the save helper hangs: nothing heard of it for 5.00 s'
hangs --listen 'says nothing for 5.00 s while the guest is suspended'

# libxl does not come back from calls that take milliseconds. A guest that was not built early is its
# to unpause.
libxl_hangs() { # CALL-THERE
    local began
    rm -f struck
    FAULT=call:$1:sleep=60 FAULT_LAST=99 FAULT_IN=--listen FAULT_LOG=$T/struck listen b
    begin_move a --offline "127.0.0.1:$port" g --bandwidth 300M
    wait_for 30 test -e struck
    began=$EPOCHREALTIME
    wait_for 20 runs
    echo "$*: runs again after $(echo "$EPOCHREALTIME $began" | awk '{ print $1 - $2 }') s"
    echo "$EPOCHREALTIME $began" | awk '{ exit !($1 - $2 < 10) }' || fail "it took too long"
    ended 3
    untouched a b g
    kill -KILL "$listener"
    wait "$listener" 2>/dev/null || :
}
libxl_hangs libxl_domain_unpause
libxl_hangs libxl_domain_unpause+libxl_domain_destroy

# xenstored hangs here, and so does whatever of libxl asks it: for a supervisor that has lost the other
# host, and for the rescuer of one that was killed with its helper.
xenstored_hangs() { # WHO-IS-KILLED...
    local began
    rm -f gate struck
    export FAULT=call:xenstore+libxl:sleep=30 FAULT_LAST=999 FAULT_IN=xmigrate FAULT_GATE=$T/gate \
        FAULT_LOG=$T/struck
    FAULT_IN=none listen b
    # The last round takes a second or two.
    moving a g --bandwidth 60M --compress none --max-rounds 1
    unset FAULT FAULT_LAST FAULT_IN FAULT_GATE FAULT_LOG
    wait_for 60 has_said $mover '"suspending"' moving.json
    wait_for 10 eval '! runs'
    : >gate
    kill_at_once $("$@")
    began=$EPOCHREALTIME
    wait_for 40 runs
    echo "$* killed: runs again after $(echo "$EPOCHREALTIME $began" | awk '{ print $1 - $2 }') s"
    echo "$EPOCHREALTIME $began" | awk '{ exit !($1 - $2 < 10) }' || fail "it took too long"
    wait_for 90 has_ended
    rm gate # it answers again; who has met it before has to give up first
    wait_for 90 eval 'on a "$B/xmigrate" --recover; ! ls run-a/out-*.json 2>/dev/null'
    on b "$B/xmigrate" --recover
    untouched a b g
    kill -KILL "$listener"
    wait "$listener" 2>/dev/null || :
}
there() { pgrep -P "$listener"; pgrep -s "$(pgrep -x -P "$listener" xmigrate | head -n 1)" -f save-helper; }
here() { echo $mover; helper; }
xenstored_hangs there
xenstored_hangs here
