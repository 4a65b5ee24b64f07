#!/bin/bash
# SPDX-License-Identifier: MIT
# --start-timeout never puts a move in doubt: it is looked at right before GO, at the destination
# last before the guest is started, and after that no more.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
# limited CODE FAULT_IN FAULT: a move with a limit of two seconds and that fault ends with that code.
limited() {
    local code=$1 live= there=
    [ "$2" = --live ] && live=$3 || there=$3
    FAULT_IN=--listen FAULT=$there listen b --insecure
    FAULT_IN=--live FAULT=$live xm a --live "127.0.0.1:$port" g --insecure --start-timeout 2s >move 2>&1
    got=$?
    kill "$listener"
    wait "$listener" 2>/dev/null
    [ $got -eq "$code" ] || fail "ended with $got, not $code, with $3: $(cat move)"
}
guest a g --type pvh --dirty 500
# The limit passes while "given" is written: GO is not sent, the guest runs on here.
limited 3 --live 'record:"given":sleep=3'
grep -q 'start-timeout' move || fail "said: $(cat move)"
untouched a b g
# It passes while the destination writes "taken": that refuses, and says so.
limited 3 --listen 'record:"taken":sleep=3'
grep -q "the destination's disk took 3.* to sync" move || fail "said: $(cat move)"
untouched a b g
# It passes when the guest is started: that is a good move.
limited 0 --listen 'record:"started":sleep=3'
moved a b g
must "$X" destroy b g
guest a g --type pvh --dirty 500
limited 0 --listen 'write:"start_ns":sleep=3'
moved a b g
