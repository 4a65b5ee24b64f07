#!/bin/bash
# SPDX-License-Identifier: MIT
# A host loses its power around GO: its processes, its domains and its run directory are gone, and it
# boots again. The guest never runs twice, never with old memory after it has run on the other host,
# and nothing stays in doubt once both hosts are back.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"

# power_off HOST: of what was there only the journal is left.
power_off() {
    local pids
    pids=$(grep -lzs "^XMIGRATE_RUN_DIR=$T/run-$1$" /proc/[0-9]*/environ | cut -d/ -f3)
    # shellcheck disable=SC2046,SC2086 # words on purpose
    kill_at_once $(cat "$XENSIM_DIR/$1/pid") $pids 2>/dev/null
    rm -rf "${XENSIM_DIR:?}/$1" "$T/run-$1"/{domain,monitor,link}-*
}

# power_on HOST: it boots, and its listener settles what it can.
power_on() {
    local port_there=$port
    host "$1"
    [ "$1" = a ] && listen a || listen_at b "127.0.0.1:$port"
    port=$port_there
}

# strikes IN FAULT: g on its way from a to b, both just booted, until that fault has struck.
strikes() {
    power_off a
    power_off b
    host a
    host b
    guest a g --type pvh --memory 32M --dirty 500
    export FAULT_IN=$1 FAULT=$2 FAULT_LOG=$T/struck
    rm -f struck
    listen b
    moving a g --bandwidth 100M --max-downtime 2s
    wait_for 60 test -s struck
    unset FAULT_IN FAULT FAULT_LOG
}

# Until the other host has said what came of it, what stands here stays.
stands() {
    command_on a "$B/xmigrate" --resume g--migratedaway
    must_say 'may run there' "${command[@]}"
    state_is a g--migratedaway suspended
}

# nowhere: no copy on either host, and the source has nothing to settle.
nowhere() {
    nothing_on a || fail "left: $("$X" list a)"
    nothing_on b || fail "left: $("$X" list b)"
    nothing_open
}

nothing_open() {
    ! ls "$T"/run-[ab]/out-*.json 2>/dev/null || fail "that is open"
}

two_hosts

# There, before GO: the guest runs on here, and nobody waits for the other host.
strikes --restore-domain call:domctl_34:stop
power_off b
ended 3
power_on b
stayed a b g
nothing_open

# There, with "taken" not on disk: it never ran. That it was ready was noted, and a note may be lost.
strikes --listen 'record:"taken":stop'
power_off b
must sed -i 's/"taken"/"incoming"/' "$T"/run-b/in-*.json
grep -q '"incoming"' "$T"/run-b/in-*.json || fail "that record: $(cat "$T"/run-b/in-*.json)"
ended 4
stands
power_on b
must xm a --resolve
stayed a b g
nothing_open

# There, with "taken" on disk, before it is unpaused (domctl 4): nobody knows that it did not run.
strikes --listen call:domctl_4:stop
power_off b
ended 4
stands
power_on b
must xm a --resolve
nowhere

# There, when it ran and the source was not told.
strikes --listen 'write:"start_ns":stop'
state_is b g--incoming running
power_off b
ended 4
stands
power_on b
must xm a --resolve
nowhere

# Here, before GO: what was here is lost, and its copy goes.
strikes --live 'record:"given":stop'
power_off a
wait_for 60 nothing_on b
power_on a
nowhere

# Here, after GO: it runs there.
strikes --live 'write:"go":stop'
power_off a
runs_there() { "$X" list b | grep -q ' g .*running'; }
wait_for 30 runs_there
power_on a
moved a b g
nothing_open

# Both.
strikes --listen call:domctl_4:stop
power_off a
power_off b
power_on a
power_on b
must xm a --resolve
nowhere
