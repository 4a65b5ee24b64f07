#!/bin/bash
# SPDX-License-Identifier: MIT
# Moves from one host know of each other: few at a time, and one guest at a time stands still.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
guest a first --type pvh --vcpus 1 --memory 32M --dirty 200
guest a second --type pvh --vcpus 1 --memory 32M --dirty 200
listen b

# take FD NAME: that turn is somebody else's, until leave FD NAME.
take() {
    eval "exec $1>run-a/$2"
    flock -n "$1" || fail "$2 is taken"
}
leave() {
    rm "run-a/$2"
    eval "exec $1>&-"
}
says() { has_said "$mover" "$1" moving.json; }

take 7 moving-1
take 8 moving-2
begin_move a --live "127.0.0.1:$port" first --lanes 1
wait_for 20 says '"waiting"'
grep -q '"side":"source"' moving.json && grep -q '"at_once":[12]' moving.json || fail "said: $(cat moving.json)"
grep -q 'waiting: guests are being moved from here before "first"' moving.err || fail "said: $(cat moving.err)"
on a "$B/xmigrate" --status first --json | grep -q '"phase": *"waiting"' || fail "$(on a "$B/xmigrate" --status --json)"
must on a "$B/xmigrate" --cancel first
ended 2
stayed a b first
# What its share is was said.
move a second --bandwidth 1G
moved a b second

# It moves as soon as one has left, and runs on while another guest stands still.
begin_move a --live "127.0.0.1:$port" first --lanes 1
wait_for 20 says '"waiting"'
must "$X" attach a "$("$X" id a first)" xvdb "phy /dev/vg/late"
take 9 pausing
leave 7 moving-1
wait_for 20 says '"action":"suspend"'
two_rounds_later() { [ "$(sed '1,/"action":"suspend"/d' moving.json | grep -c '"event":"round"')" -ge 2 ]; }
wait_for 20 eval 'two_rounds_later || has_ended'
two_rounds_later || fail "it ended: $(cat moving.err)"
! grep -q '"suspending"' moving.json || fail "it was suspended: $(cat moving.json)"
leave 9 pausing
ended 0
moved a b first
"$X" devices b | grep -q xvdb || fail "it came without the disk that it was given while it waited"
leave 8 moving-2
[ -z "$(ls run-a | grep -e moving -e pausing)" ] || fail "left: $(ls run-a)"
