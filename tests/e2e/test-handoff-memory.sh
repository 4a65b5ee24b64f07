#!/bin/bash
# SPDX-License-Identifier: MIT
# STARTED was lost; the guest ran there and then ended, or moved on. The destination remembers, so
# that nobody revives its old memory here over disks that have changed.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b --insecure
in_doubt() {
    guest a g --type pvh --dirty 500
    wire after-go
    xm a --live "127.0.0.1:$(cat wire.after-go)" g --insecure >move 2>&1
    [ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
    state_is a g--migratedaway suspended
    wait_for 20 is_called b g
    state_is b g running
    wait_for 40 grep -q 'was not told' listen-b.err # the receiving process has ended
    : >listen-b.err
}
recorded() {
    grep -q "\"$1\"" run-b/in-*.json || fail "not $1: $(cat run-b/in-*.json)"
}
# nobody_revives: the old copy is not resumed, whatever is said here.
nobody_revives() {
    on a "$B/xmigrate" --recover >recover 2>&1
    [ $? -eq 4 ] || fail "--recover guessed: $(cat recover)"
    not_resumed a g--migratedaway
    must "$X" destroy a g--migratedaway
    must on a "$B/xmigrate" --recover
}

in_doubt
recorded started
must "$X" destroy b g
must on b "$B/xmigrate" --recover 2>recover-b
recorded ended
grep -q 'must be destroyed' recover-b || fail "--recover there said: $(cat recover-b)"
nobody_revives

in_doubt
host c
mkdir -m 700 run-c
listen c --insecure
xm b --live "127.0.0.1:$port" g --insecure >move 2>&1 || fail "could not move on: $(cat move)"
state_is c g running
recorded moved_on
grep -q '"moved_to": "127.0.0.1"' run-b/in-*.json || fail "not known where to: $(cat run-b/in-*.json)"
nobody_revives

# dismiss CODE WORDS HOST DOM
dismiss() {
    local code=$1 words=$2
    on "$3" "$B/xmigrate" --dismiss "$4" >dismiss 2>&1
    [ $? -eq "$code" ] && grep -q "$words" dismiss || fail "--dismiss $4 on $3: $(cat dismiss)"
}
dismiss 0 'is forgotten' b g
! ls run-b/in-*.json run-b/past-*.json 2>/dev/null || fail "a record is left"
dismiss 2 'remembers no arrival of "g"' b g
in_doubt() {
    guest a h --type pvh
    wire after-go
    xm a --live "127.0.0.1:$(cat wire.after-go)" h --insecure >move 2>&1
    [ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
}
listen b --insecure
in_doubt
dismiss 2 'is still open' a h
