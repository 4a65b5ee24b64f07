#!/bin/bash
# SPDX-License-Identifier: MIT
# What is left of a move when every process of the destination, or the acceptor, was killed.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh

begin() {
    xmigrate_on a --live "127.0.0.1:$port" g --lanes 2 --json "$@"
    launch move.json move.err "${command[@]}"
    mover=$launched
    # A move that nothing slows down may be over its first round before it says "progress".
    wait_for 30 grep -q -e '"progress"' -e '"ready"' move.json
}

ended() {
    ! kill -0 $mover 2>/dev/null
}

receivers() {
    pgrep -x -P $listener xmigrate
}

helpers() {
    # In its session, and not only its children: the engine outlives what libxl started.
    for receiver in $(receivers); do pgrep -s "$receiver" -f save-helper; done
}

# All of the destination at once: the source's guest runs on, the half-built domain waits for the
# next listener.
begin --bandwidth 40M
kill_at_once $listener $(receivers) $(helpers)
wait_for 60 ended
state_is a g running
logdirty_is a g off
"$X" list b | grep -q 'g--incoming' || fail "nothing was left to recover: $("$X" list b)"
: >run-b/id.2000000000 # a process was killed while it made the journal's id
listen b
grep -q 'half-built' listen-b.err || fail "the new listener said nothing: $(cat listen-b.err)"
stayed a b g
[ -z "$(ls run-b | grep -e '^in-.*json' -e '^link-' -e '^id\.')" ] || fail "something is left: $(ls run-b)"

# Whatever somebody has called it meanwhile, and though its number is not on record yet.
for record in known unknown; do
    begin --bandwidth 40M
    kill_at_once $listener $(receivers) $(helpers)
    wait_for 60 ended
    must "$X" rename b g--incoming h
    [ $record = known ] || must sed -i 's/"domid": [0-9]*/"domid": -1/' run-b/in-*.json
    : >listen-b.err
    listen b
    grep -q 'half-built' listen-b.err || fail "$record: the new listener said nothing: $(cat listen-b.err)"
    stayed a b g
    is_gone b h
done

# Only the receiving process: its helper sees to it, nobody has to come.
begin --bandwidth 40M
kill -KILL $(receivers)
wait_for 60 ended
incoming_gone() { ! "$X" list b | grep -q incoming; }
wait_for 30 incoming_gone
stayed a b g
[ -z "$(ls run-b | grep '^in-.*json')" ] || fail "a state file is left: $(ls run-b)"

# The receiving process and its helper at once, so that neither can see to it: the listener does.
begin --bandwidth 40M
kill_at_once $(receivers) $(helpers)
wait_for 5 incoming_gone
wait_for 60 ended
stayed a b g
# The receiving process when its helper has ended and GO has not come: likewise.
FAULT_IN=--live FAULT=call:fsync:sleep=3 FAULT_GATE=$T/gate FAULT_OPENS='"ready"' begin
wait_for 30 grep -q '"ready"' move.json
"$X" list b | grep -q incoming || fail "nothing is left to recover: $("$X" list b)"
kill -KILL $(receivers)
wait_for 5 incoming_gone
wait $mover
[ $? -eq 3 ] || fail "GO went to a destination that was dead: $(cat move.err)"
stayed a b g
[ "$(grep -c 'half-built' listen-b.err)" -ge 2 ] || fail "the listener said nothing: $(cat listen-b.err)"

# The acceptor alone: the move goes on to its end, and the port is free for another.
begin --bandwidth 400M
kill -KILL $listener
wait $mover || fail "the move did not outlive the acceptor: $(cat move.err)"
moved a b g
listen b
# Its acceptor holds the port until it has noticed: the next listener waits for that.
acceptor=$(pgrep -x -P $listener xmigrate-accept)
kill -STOP $acceptor
kill -KILL $listener
(sleep 0.5 && kill -CONT $acceptor) &
listen_at b 127.0.0.1:$port

# The monitor of the moved guest is there and ends with it.
wait_for 20 pgrep -f "xmigrate --monitor $("$X" id b g) " >/dev/null
must "$X" destroy b g
monitor_gone() { ! grep -q watching run-b/monitor-*.log || grep -q 'is gone' run-b/monitor-*.log; }
wait_for 20 monitor_gone
