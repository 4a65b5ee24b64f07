#!/bin/bash
# SPDX-License-Identifier: MIT
# Moves in doubt are settled by --resolve, and by a listener that runs: whatever became of the guest
# at the other host, without a person who looks.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b --insecure
# in_doubt WIRE: a guest that was given away, and nothing was heard.
in_doubt() {
    guest a g --type pvh --dirty 500
    wire "$1"
    xm a --live "127.0.0.1:$(cat "wire.$1")" g --insecure >move 2>&1
    [ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
    tail -n 1 move | grep -q 'xmigrate --resolve' || fail "--resolve is not advised: $(tail -n 1 move)"
    state_is a g--migratedaway suspended
    # The wire is gone; the other host is where it was.
    sed -i "s/\"port\": [0-9]*/\"port\": $port/" run-a/out-*.json
}
resolve() {
    must on a "$B/xmigrate" --resolve "$@" >resolve 2>&1
    ! ls run-a/out-*.json 2>/dev/null || fail "a record is left: $(cat resolve)"
}
forgotten() {
    ! ls run-b/in-*.json 2>/dev/null
}

# GO never arrived.
in_doubt before-go
resolve g
untouched a b g
wait_for 10 forgotten
must "$X" destroy a g

# It runs there.
in_doubt after-go
resolve
moved a b g
wait_for 10 forgotten
must "$X" destroy b g

# It ran there, and ended.
in_doubt after-go
wait_for 20 is_called b g
must "$X" destroy b g
resolve g--migratedaway
nothing_on a || fail "the old copy is left: $("$X" list a)"
wait_for 10 forgotten

# Out of reach: nothing is done, and what is safe is said. A listener that runs here settles it when the
# other host is there again.
in_doubt after-go
there=$port
kill "$listener"
wait "$listener" 2>/dev/null
on a "$B/xmigrate" --resolve >resolve 2>&1
[ $? -eq 4 ] || fail "settled by nobody: $(cat resolve)"
grep -q 'could not be asked' resolve && grep -q 'may run there' resolve || fail "said: $(cat resolve)"
state_is a g--migratedaway suspended
listen a --insecure
wait_for 20 grep -q 'could not be asked' listen-a.err
state_is a g--migratedaway suspended
here=$listener
listen_at b "127.0.0.1:$there" --insecure
wait_for 40 nothing_on a
kill "$here"
moved a b g
must "$X" destroy b g

# Somebody else resumed it here: that is said, and its log-dirty mode is off.
in_doubt before-go
must "$X" resume a g--migratedaway
logdirty_is a g--migratedaway on
on a "$B/xmigrate" --recover >recover 2>&1
grep -q 'was given to .* but runs here' recover || fail "said: $(cat recover)"
logdirty_is a g--migratedaway off
must "$X" destroy a g--migratedaway
wait_for 30 nothing_on b

# Another journal knows nothing: that is not "it did not run".
in_doubt after-go
wait_for 40 grep -q 'was not told' listen-b.err
rm run-b/id
on a "$B/xmigrate" --resolve >resolve 2>&1
[ $? -eq 4 ] || fail "settled by nobody: $(cat resolve)"
grep -q 'knows nothing' resolve || fail "said: $(cat resolve)"
state_is a g--migratedaway suspended
refused 2 'is open' a --resolve nobody
