#!/bin/bash
# SPDX-License-Identifier: MIT
# The wire is cut when the guest was just given away. The source does not guess: the guest stays
# suspended there, exit code 4, and what the last line says to do is done here, for both truths.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b --insecure
move_in_doubt() {
    xm a --live "127.0.0.1:$(cat "wire.$1")" g --insecure >move 2>&1
    [ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
    for word in 'xmigrate --resolve' 'xl destroy' 'xmigrate --resume --force'; do
        tail -n 1 move | grep -q -e "$word" || fail "the last line does not say $word: $(tail -n 1 move)"
    done
    state_is a g--migratedaway suspended
    # Nobody moves it, and --recover does not guess either.
    must_not_move
    on a "$B/xmigrate" --recover >recover 2>&1
    [ $? -eq 4 ] || fail "--recover guessed: $(cat recover)"
    state_is a g--migratedaway suspended
    not_resumed a g--migratedaway
}
must_not_move() {
    refused 2 g a --live "127.0.0.1:$port" g--migratedaway --insecure
}

# GO never arrived: nothing runs there, and the guest is brought back.
guest a g --type pvh
wire before-go
move_in_doubt before-go
wait_for 20 nothing_on b
on b "$B/xmigrate" --recover 2>&1 | grep -q 'never ran here' || fail "the destination does not know"
must on a "$B/xmigrate" --resume --force g--migratedaway
untouched a b g
must "$X" destroy a g

# A destination that dies before GO leaves no doubt, and a bit that was changed on the way no copy.
fails() { # WORDS
    xm a --live "127.0.0.1:$at" g --insecure >move 2>&1
    [ $? -eq 3 ] || fail "not failed: $(tail -n 3 move)"
    grep -q "$1" move || fail "it said: $(cat move)"
    untouched a b g
}
gone() {
    kill "$listener"
    wait "$listener" 2>/dev/null || :
}
guest a g --type pvh
gone
for fault in '--restore-domain call:domctl_34:kill' '--listen write:"clock_ns":kill'; do
    FAULT_IN=${fault% *} FAULT=${fault#* } listen b --insecure
    at=$port
    fails '127.0.0.1.*"g" runs on here'
    gone
done
listen b --insecure
wire flipped
at=$(cat wire.flipped)
fails 'was changed on its way'
must "$X" destroy a g

# It arrived: the guest runs there, and the copy here is destroyed.
guest a g --type pvh
wire after-go
move_in_doubt after-go
wait_for 20 is_called b g
state_is b g running
must "$X" destroy a g--migratedaway
must on a "$B/xmigrate" --recover
moved a b g
! ls run-a | grep '^out-.*json' || fail "a state file is left"
