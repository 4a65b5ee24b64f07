#!/bin/bash
# SPDX-License-Identifier: MIT
# --cleanup destroys what a move has left when it is certain that nobody wants it, and nothing else.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
refuses() { # CODE WORDS HOST NAME
    local said got
    said=$(on "$3" "$B/xmigrate" --cleanup "$4" 2>&1)
    got=$?
    [ $got -eq "$1" ] || fail "ended with $got, not $1: --cleanup $4: $said"
    case $said in *"$2"*) ;; *) fail "said '$said', not '$2': --cleanup $4" ;; esac
}
# in_doubt WIRE: a guest that was given away, and nothing was heard.
in_doubt() {
    guest a g --type pvh --memory 64M --dirty 500
    wire "$1"
    xm a --live "127.0.0.1:$(cat "wire.$1")" g --insecure >move 2>&1
    [ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
    # The wire is gone; the other host is where it was.
    sed -i "s/\"port\": [0-9]*/\"port\": $port/" run-a/out-*.json
}
recorded() {
    grep -qs "\"state\": \"$1\"\|\"phase\": \"$1\"" run-b/in-*.json
}

# It never ran there: it is wanted here. Who noted that there was killed before the copy was destroyed,
# and nobody looked after it.
FAULT_IN=--listen FAULT='record:"gone":stop' FAULT_LOG=$T/struck listen b --insecure
in_doubt before-go
wait_for 20 [ -s "$T/struck" ]
refuses 2 'is being received already' b g
kill -KILL "$listener"
wait "$listener" 2>/dev/null
kill -KILL "$(awk '{ print $2 }' "$T/struck")"
wait_for 20 recorded gone
state_is b g--incoming paused
refuses 2 'nothing is left of a move' b h
wait_for 20 on b "$B/xmigrate" --cleanup g 2>cleaned
grep -q 'which never ran, is destroyed' cleaned || fail "said: $(cat cleaned)"
nothing_on b || fail "left: $("$X" list b)"
there=$port
listen b --insecure
sed -i "s/\"port\": $there/\"port\": $port/" run-a/out-*.json
refuses 4 'has not said that it was started there' a g
refuses 4 'never ran on' a g
state_is a g--migratedaway suspended
must on a "$B/xmigrate" --resolve g >/dev/null 2>&1
untouched a b g
refuses 2 'nothing is left of a move' a g

# Others of such names are not ours.
must "$X" rename a g g--migratedaway
refuses 2 'no record' a g
guest b g--incoming --paused --memory 64M
refuses 2 'no record' b g--incoming
refuses 2 'there is no "h--incoming" here: nothing is left' b h--incoming
must "$X" destroy b g--incoming
must "$X" destroy a g--migratedaway

# It runs there; first nobody can be asked.
kill "$listener"
listen b --insecure
in_doubt after-go
there=$port
kill "$listener"
refuses 4 'could not be asked' a g--migratedaway
state_is a g--migratedaway suspended
listen b --insecure
sed -i "s/\"port\": $there/\"port\": $port/" run-a/out-*.json
must on a "$B/xmigrate" --cleanup g >cleaned 2>&1
moved a b g
nothing_on a || fail "left: $("$X" list a)"
