#!/bin/bash
# SPDX-License-Identifier: MIT
# The sender, its helper, the receiver and its helper, killed with SIGKILL at every stage of a move,
# and at some moments between: the guest is whole in exactly one place. Only when the guest had just
# been given away may somebody have to look, and then xmigrate says so.
# deadline: 600
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
# victims WHO: pids of that process among our own descendants.
victims() {
    case $1 in
    sender) echo $mover ;;
    sender-helper) pgrep -P "$mover" -f save-helper ;;
    receiver) pgrep -x -P "$listener" xmigrate ;;
    receiver-helper) for p in $(pgrep -x -P "$listener" xmigrate); do pgrep -s "$p" -f save-helper; done ;;
    esac
}
# strike WHO STAGE: read events until that one comes, and kill at once. Whom, is looked up when
# pages flow: from then on all of them are there.
strike() {
    local line pids=
    while read -r line; do
        echo "$line" >>seen
        case $line in
        *'"event":"'$2'"'*)
            pids=${pids:-$(victims "$1")}
            [ -z "$pids" ] || kill -9 $pids 2>/dev/null
            echo "$pids" >struck
            break
            ;;
        *'"event":"progress"'*) pids=${pids:-$(victims "$1")} ;;
        esac
    done
    cat >>seen
}
count() {
    "$X" list "$1" | grep -c MiB
}
running() {
    "$X" list "$1" | awk '$2 == "g" && $7 == "running"' | wc -l
}
one_runs() {
    [ $(($(count a) + $(count b))) -eq 1 ] && [ $(($(running a) + $(running b))) -eq 1 ]
}
# decide: what a move in doubt tells people to do.
decide() {
    "$X" list a | grep -q 'g--migratedaway.*suspended' || return 0
    must xm a --resolve
}
# check WHO STAGE CODE: after the move ended with that code.
check() {
    local what="$1 killed at $2" recover
    on b "$B/xmigrate" --recover >recover 2>&1
    on a "$B/xmigrate" --recover >>recover 2>&1
    recover=$?
    [ "$(running a)" -eq 0 ] || [ "$(running b)" -eq 0 ] || fail "$what: the guest runs twice"
    if [ "$3" -eq 4 ] || [ $recover -eq 4 ]; then
        # GO follows READY within a moment: the guest may be given away before the kill arrives.
        grep -q '"event":"ready"' seen || fail "$what: in doubt: $(cat move recover)"
        decide
    fi
    for _ in $(seq 300); do
        one_runs && break
        sleep 0.1
    done
    one_runs || fail "$what, ended with $3: a: $("$X" list a)
b: $("$X" list b)
$(cat move recover)"
    here=b
    [ "$(running a)" -eq 0 ] || here=a
    logdirty_is $here g off
    sleep 0.1
    whole $here g >/dev/null
    echo "$what: ended with $3, the guest is on $here"
}
begin() {
    listen b
    guest a g --type pv --memory 64M --dirty 3000 --remap 300
    rm -f events seen struck
    mkfifo events
    XMIGRATE_RUN_DIR=$T/run-a "$X" run a -- "$B/xmigrate" --config-dir "$T/etc-a" \
        --live "127.0.0.1:$port" g --bandwidth 600M --json >events 2>move &
    mover=$!
    echo $mover >>pids
}
finish() { # WHO STAGE
    local code
    wait_for 60 has_ended
    wait $mover
    code=$?
    check "$1" "$2" $code
    must "$X" destroy $here g
    kill $listener
    wait $listener 2>/dev/null
}
for who in sender sender-helper receiver receiver-helper; do
    for stage in start round suspending suspended ready go; do
        begin
        strike $who $stage <events
        [ -e struck ] || fail "the move never came to $stage: $(cat move)"
        finish $who $stage
    done
    for delay in 0.1 0.3 0.6; do
        begin
        cat events >>seen &
        sleep $delay
        pids=$(victims $who)
        [ -z "$pids" ] || kill -9 $pids 2>/dev/null
        finish $who "$delay s"
    done
done
