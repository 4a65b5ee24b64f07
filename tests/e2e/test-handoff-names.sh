#!/bin/bash
# SPDX-License-Identifier: MIT
# Names are changed when the guest runs: a rename that is slow lengthens no pause, and one that fails
# stops nothing. Within one host the name is free when the copy wants it.
# deadline: 180
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts

# moves FROM TO FAULT_AT_SOURCE FAULT_AT_DESTINATION: g, and what became of it is in $T/move.
moves() {
    FAULT_IN=--listen FAULT=${4:-none} listen "$2"
    guest "$1" g --type pvh --memory 32M
    FAULT_IN=--live FAULT=${3:-none} move "$1" g --json
}
recovered() {
    on a "$B/xmigrate" --recover >/dev/null 2>&1
    [ "$("$X" list a | wc -l)" -eq 2 ] && is_called a g
}
over() { # TO: it may go
    must "$X" destroy "$1" g
    kill "$listener"
    wait "$listener" 2>/dev/null
    ! ls "$T"/run-?/*.json 2>/dev/null || fail "a record is left"
}

# Slow at both ends. When the source says that it is done, the guest has its name.
moves a b call:libxl_domain_rename:sleep=2 call:libxl_domain_rename:sleep=1
is_called b g || fail "it is not called so: $("$X" list b)"
must python3 - "$T/move" <<'END_PYTHON'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1]) if line.startswith('{')]
done = next(e for e in events if e['event'] == 'done')
assert done['downtime_ns'] < 1_000_000_000, done
END_PYTHON
moved a b g
over b

# It fails at the source: its copy goes all the same.
moves a b call:libxl_domain_rename:fail
grep -q 'is still called "g"' "$T/move" || fail "it said: $(cat "$T/move")"
moved a b g
over b

# And at the destination, which says what to do.
moves a b none call:libxl_domain_rename:fail
state_is b g--incoming running
is_gone a g
advice=$(sed -n 's/.*later: xl rename \([0-9]*\) g$/\1/p' "$T/listen-b.err")
[ "$advice" = "$("$X" id b g--incoming)" ] || fail "it said: $(cat "$T/listen-b.err")"
must "$X" rename b "$advice" g
moved a b g
over b

# Within one host.
trust a a
moves a a
state_is a g running
is_gone a g--incoming
is_gone a g--migratedaway
[ "$("$X" list a | wc -l)" -eq 2 ] || fail "two are left: $("$X" list a)"
over a

# There the source is killed when it has heard of it, before it has renamed: the copy cannot have the
# name. --recover destroys the old copy first.
listen a
guest a g --type pvh --memory 32M
FAULT_IN=--live FAULT=call:libxl_domain_rename:sleep=60 moving a g --bandwidth 60M
wait_for 40 grep -q '"moved"' run-a/out-*.json
kill_at_once "$mover" $(pgrep -P "$mover")
wait "$mover" 2>/dev/null
wait_for 40 grep -q 'is still called "g--incoming"' "$T/listen-a.err"
wait_for 20 recovered
state_is a g running
whole a g
