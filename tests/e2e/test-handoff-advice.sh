#!/bin/bash
# SPDX-License-Identifier: MIT
# GO arrived, and the destination stands in the fsync of "taken" for longer than the source waits.
# Whoever then does at the source what xmigrate says must not make the guest run twice.
# deadline: 180
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
runs() {
    [ "$("$X" list a | grep -c running)" -eq "$1" ] && [ "$("$X" list b | grep -c running)" -eq "$2" ]
}
FAULT_IN=--listen FAULT='record:"taken":sleep=12' listen b
guest a g --type pvh --dirty 500
xm a --live "127.0.0.1:$port" g --silent-timeout 6s --start-timeout 30s >move 2>&1
[ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
on a "$B/xmigrate" --recover >recover 2>&1
[ $? -eq 4 ] || fail "--recover guessed: $(cat recover)"
# Nothing runs there yet: to the letter, the guest "does not run there".
runs 0 0 || fail "it runs already: $("$X" list b)"
not_resumed a g--migratedaway
wait_for 20 runs 0 1
sleep 0.5
wait_for 20 is_called b g
runs 0 1 || fail "the guest runs twice: $("$X" list a) $("$X" list b)"
whole b g

for said in move recover; do
    grep -q 'runs or ran' $said || fail "$said does not say that it may have run there: $(cat $said)"
done

# A person who knows better can.
must "$X" destroy b g
must on a "$B/xmigrate" --resume --force g--migratedaway >resume 2>&1
runs 1 0 || fail "it was not resumed: $(cat resume)"
