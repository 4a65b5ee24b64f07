#!/bin/bash
# SPDX-License-Identifier: MIT
# Whoever hangs while the guest is suspended, the guest runs again within 10 s, with the limits as they
# are by default.
# deadline: 180
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

# libxl does not come back from calls that take milliseconds, at one end or at both.
libxl_hangs() { # CALL-THERE [CALL-HERE]
    local began
    rm -f struck
    FAULT=call:$1:sleep=60 FAULT_IN=--listen FAULT_LOG=$T/struck listen b
    FAULT=call:${2:-none}:sleep=60 FAULT_IN=--live moving a g --bandwidth 300M
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
libxl_hangs libxl_domain_unpause libxl_domain_resume
