#!/bin/bash
# The sender, its helper, the receiver, its helper, killed with SIGKILL at several moments of a
# move: the guest is whole in exactly one place, and can move after.
# deadline: 600
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
# victims WHO: pids of that process among our own descendants.
victims() {
    case $1 in
    sender) echo $mover ;;
    sender-helper) pgrep -P "$mover" ;;
    receiver) pgrep -P "$listener" ;;
    receiver-helper) for p in $(pgrep -P "$listener"); do pgrep -P "$p"; done ;;
    esac
}
# settled: the guest is in one place only, running and whole, within 30 s.
in_one_place() {
    local a b i
    for i in $(seq 300); do
        a=$("$X" list a | awk '$2 == "g" && $7 == "running"' | wc -l)
        b=$("$X" list b | awk '$2 == "g" && $7 == "running"' | wc -l)
        [ $(("$(("$X" list a; "$X" list b) | grep -c MiB)")) -eq 1 ] && [ $((a + b)) -eq 1 ] && break
        sleep 0.1
    done
    [ $((a + b)) -eq 1 ] || fail "$1 after $2 s: the guest is in $((a + b)) places: a: $("$X" list a)
b: $("$X" list b)"
    if [ "$a" -eq 1 ]; then here=a; else here=b; fi
    logdirty_is $here g off
    whole $here g >/dev/null
}
for who in sender sender-helper receiver receiver-helper; do
    for delay in 0.1 0.3 0.6 1; do
        listen b
        guest a g --type pv --memory 64M --dirty 3000 --remap 300
        XMIGRATE_RUN_DIR=$T/run-a "$X" run a -- "$B/xmigrate" --config-dir "$T/etc-a" \
            --live "127.0.0.1:$port" g --bandwidth 400M >move 2>&1 &
        mover=$!
        echo $mover >>pids
        sleep $delay
        pids=$(victims $who)
        [ -z "$pids" ] || kill -9 $pids 2>/dev/null
        for i in $(seq 600); do kill -0 $mover 2>/dev/null || break; sleep 0.1; done
        kill -0 $mover 2>/dev/null && fail "$who killed after $delay s: the move did not end"
        xm a --recover >>recover 2>&1
        xm b --recover >>recover 2>&1
        in_one_place $who $delay
        echo "$who killed after $delay s: on $here"
        must "$X" destroy $here g
        kill $listener
        wait $listener 2>/dev/null
    done
done
