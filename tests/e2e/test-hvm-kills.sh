#!/bin/bash
# SPDX-License-Identifier: MIT
# Processes killed while an HVM guest moves, above all while it stands still: it runs on, and so does
# its device model, with its log-dirty off, and what it keeps in transcendent memory.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
two_hosts --tmem
victims() {
    case $1 in
    sender) echo $mover ;;
    sender-helper) helper ;;
    sender-both) echo $mover $(helper) ;;
    receiver) pgrep -P "$listener" ;;
    receiver-helper) for p in $(pgrep -x -P "$listener" xmigrate); do pgrep -s "$p" -f save-helper; done ;;
    esac
}
# here: it runs on a, alone.
here() {
    [ "$("$X" list a | awk '$2 == "g" { print $7 }')" = running ] && nothing_on b
}
# strike_hvm WHO STAGE: fails when the move was over before anything could be killed.
strike_hvm() {
    local pids
    listen b
    # The last round takes two seconds or three.
    hvm_guest a g --dirty 20000 --tmem 2M --tmem-rate 300
    moving a g --bandwidth 200M --compress none --max-downtime 10s
    wait_for 60 has_said $mover "\"event\":\"$2\"" "$T/moving.json"
    pids=$(victims "$1")
    [ -z "$pids" ] || kill_at_once $pids
    wait_for 60 has_ended
    if [ -z "$pids" ]; then
        moved a b g
        must "$X" destroy b g
        kill $listener
        wait $listener 2>/dev/null
        return 1
    fi
    on b "$B/xmigrate" --recover >recover 2>&1
    on a "$B/xmigrate" --recover >>recover 2>&1
    wait_for 30 here
    dm_is a 'running, log-dirty off'
    stayed a b g
    must "$X" destroy a g
    kill $listener
    wait $listener 2>/dev/null
    echo "$1 killed at $2"
}
for who in sender sender-helper sender-both receiver receiver-helper; do
    wait_for 200 strike_hvm $who round
    wait_for 200 strike_hvm $who suspended
done

# Told to stop while the guest stands still: the same, without anybody's death.
listen b
hvm_guest a g --dirty 20000
moving a g --bandwidth 200M --compress none --max-downtime 10s
wait_for 60 has_said $mover '"event":"suspended"' "$T/moving.json"
kill -TERM $mover
ended 3
dm_is a 'running, log-dirty off'
stayed a b g
must "$X" destroy a g
kill $listener
wait $listener 2>/dev/null

# The helper dies while libxl asks the device model for its state: that question stands as long as
# the process, with libxl's lock on the device model.
listen b
hvm_guest a g
moving a g --bandwidth 200M
must "$X" dm a g slow:2s
wait_for 60 eval '"$X" list a | grep -q suspended'
kill_at_once $(helper)
killed=$SECONDS
ended 3
[ $((SECONDS - killed)) -lt 20 ] || fail "the guest stood still for $((SECONDS - killed)) s"
must "$X" dm a g obey
untouched a b g
dm_is a 'running, log-dirty off'
must "$X" destroy a g
kill $listener
wait $listener 2>/dev/null

# Left as somebody's rescue before this one left it: it runs, and its device model does not.
listen b
hvm_guest a g
moving a g --bandwidth 200M
must "$X" dm a g stop
kill_at_once $(victims sender-both)
wait_for 20 has_ended
wait_for 20 eval 'on a "$B/xmigrate" --recover >recover 2>&1; "$X" dm a g | grep -q "running, log-dirty off"'
wait_for 20 here
stayed a b g
