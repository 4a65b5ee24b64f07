#!/bin/bash
# SPDX-License-Identifier: MIT
# --every: numbered checkpoints, the newest kept, other files left alone; a slot that is due while one is
# made is skipped; a signal ends it, the guest runs on.
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files
guest a g --type pvh --memory 32M
guest a h --type pvh --memory 16M
filed --checkpoint files/g.000003 h # another guest's
echo mine >files/g.000001
echo mine >files/g.old

file_refused 1 'goes with --every' --checkpoint files/g g --keep 2
launch out err on a "$B/xmigrate" --checkpoint files/g g --every 1s --keep 2 --json
has() {
    [ -e "files/$1" ] || ! kill -0 $launched 2>/dev/null
}
wait_for 60 has g.000008
[ -e files/g.000008 ] || fail "it ended: $(tail -n 3 err)"

# Somebody else holds it for a moment: that slot has none, and the next ones go on.
lock=$T/run-a/domain-$("$X" id a g).lock
held() {
    flock -n "$lock" sleep 3 || ! kill -0 $launched 2>/dev/null
}
wait_for 60 held
grep -q '^no checkpoint in this slot' err || fail "no slot was refused: $(tail -n 3 err)"
last=$(ls files | sort | grep '^g\.0' | tail -n 1)
goes_on() {
    [ "$(ls files | sort | grep '^g\.0' | tail -n 1)" != "$last" ] || ! kill -0 $launched 2>/dev/null
}
wait_for 60 goes_on
kill -0 $launched 2>/dev/null || fail "a slot that was refused ended it: $(tail -n 3 err)"

pid=$(pgrep -P $launched -x xmigrate || echo $launched)
kill -TERM $pid
wait $launched
code=$?
[ $code -eq 0 ] || [ $code -eq 3 ] || fail "it ended with $code: $(tail -n 3 err)"
grep -q '^checkpoints made: ' err || fail "it does not say how many: $(tail -n 3 err)"
lives g
no_record
[ "$(cat files/g.000001 files/g.old)" = $'mine\nmine' ] || fail "what is not its own is not there"
must "$B/xmigrate" --inspect files/g.000003 | grep -q ' h (pvh)' || fail "another guest's is not there"
kept=$(ls -A files | grep -c '^g\.0000[0-9][0-9]$')
[ "$kept" -eq 4 ] || fail "there are $kept: $(ls -A files)"
ls -A files | grep '\.part$' && fail "a part is left"

must python3 - <<'END_PYTHON'
import json
events = [json.loads(line) for line in open("out") if line.startswith("{")]
of = {kind: [e["migration"] for e in events if e["event"] == kind] for kind in ("start", "saved")}
assert all(of["start"]) and len(set(of["start"])) == len(of["start"]), of
assert len(of["saved"]) >= 5 and set(of["saved"]) <= set(of["start"]), of
END_PYTHON

# More than fits into a second.
truncate -s 0 out
guest a slow --type pvh --memory 16M
launch out err on a "$B/xmigrate" --checkpoint files/slow slow --every 1s --keep 1 --while-suspended 'sleep 1.2' --json
has_skipped() {
    grep -q '"event":"skipped"' out || ! kill -0 $launched 2>/dev/null
}
wait_for 60 has_skipped
must "$X" destroy a slow
wait_for 60 eval '! kill -0 '$launched' 2>/dev/null'
wait $launched
[ $? -eq 2 ] || fail "a guest that is gone did not end it: $(tail -n 3 err)"
grep -q '"event":"skipped","slots":[1-9]' out || fail "nothing was skipped: $(cat out)"

# Compact files are told by the guest in them, too, with their key.
guest a c --type pvh --memory 16M
head -c 40 /dev/urandom >key
launch out err on a "$B/xmigrate" --checkpoint files/c c --every 1s --keep 2 --compact --encrypt key --json
wait_for 60 has c.000005
kill -TERM "$(pgrep -P $launched -x xmigrate || echo $launched)"
wait $launched
code=$?
[ $code -eq 0 ] || [ $code -eq 3 ] || fail "it ended with $code: $(tail -n 3 err)"
[[ $(ls files | grep '^c\.' | tail -n 1) > c.000004 ]] || fail "it ended: $(tail -n 3 err)"
kept=$(ls -A files | grep -c '^c\.')
[ "$kept" -eq 2 ] || fail "there are $kept: $(ls -A files)"
lives c
