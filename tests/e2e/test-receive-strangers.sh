#!/bin/bash
# SPDX-License-Identifier: MIT
# Strangers at the door, some that say nothing and some that say nonsense, again and again: neither
# does a move end that is under way, nor does a new one wait for them.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b

# strangers COUNT ADDRESS KIND...: they are all there; go_home ends them.
strangers() {
    launch came came.err python3 "$E2E/strangers.py" "$port" "$2" "$1" "${@:3}"
    crowd=$launched
    wait_for 60 has_said "$crowd" there came
    kill -0 "$crowd" || fail "no crowd: $(cat came.err)"
}

go_home() {
    kill "$crowd"
    wait "$crowd" 2>/dev/null || :
}

# let_in DOMAIN: it is moved; $waited is how long it took until the other host had accepted it, in ms.
let_in() {
    xm a --live "127.0.0.1:$port" "$1" --json >said.json 2>said.err || fail "$1: $(cat said.err)"
    waited=$(sed -n 's/.*"event": *"start".*"elapsed_ns": *\([0-9]*\).*/\1/p
                     s/.*"elapsed_ns": *\([0-9]*\).*"event": *"start".*/\1/p' said.json)
    waited=$((waited / 1000000))
    moved a b "$1"
}

for name in one two three; do guest a $name --type pvh --memory 16M --dirty 100; done
guest a big --type pvh --memory 64M --dirty 200
let_in one
alone=$waited

# The defect that was seen: with seventeen of them nobody else was let in.
strangers 17 127.0.0.1 silent
let_in two
go_home

moving a big --bandwidth 12M
strangers 1000 127.0.0.66 idle slow garbage silent babbling
let_in three
! has_ended || fail "the move ended: $(cat moving.err)"
# What the machine is busy with counts alone, too.
[ $waited -lt $((2000 + 5 * alone)) ] || fail "waited $waited ms, $alone ms without a crowd"
echo "accepted within $waited ms, $alone ms without a crowd"
ended 0
moved a b big
go_home
