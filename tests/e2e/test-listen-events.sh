#!/bin/bash
# SPDX-License-Identifier: MIT
# --listen --json and --recover --json: what comes here, in order and with the source's id of it; what
# failed; and what is settled afterwards.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
guest a g --type pvh
xmigrate_on b --listen 127.0.0.1:0 --json
launch here.json here.err "${command[@]}"
listening=$launched
wait_for 30 has_said $listening '"listening"' here.json
port=$(python3 -c 'import json; print(json.loads(open("here.json").readline())["port"])')

field() { # EVENT FIELD FILE: of the last such event
    python3 - "$@" <<'END'
import json, sys
event, field, path = sys.argv[1:]
print([e[field] for e in map(json.loads, open(path)) if e['event'] == event][-1])
END
}

moving a g --bandwidth 200M
ended 0
moved a b g
python3 - <<'END' || fail "$(cat here.json)"
import json
here = [json.loads(line) for line in open('here.json')]
there = [json.loads(line) for line in open('moving.json')]
kinds = [e['event'] for e in here if e['event'] != 'received']
assert kinds == ['listening', 'coming', 'runs'], kinds
received = [e for e in here if e['event'] == 'received']
assert received and received[-1]['populated_pages'] > 0, received
assert {e['migration'] for e in here[1:]} == {e['migration'] for e in there}
assert here[1]['domain'] == 'g' and here[1]['peer_name'] == 'a', here[1]
assert here[-1]['uuid'] == here[1]['uuid'], here[-1]
END

# One that fails, and what --recover says of one whose processes were all killed.
listen a
moving b g --bandwidth 40M
kill -INT $mover
ended 3
[ "$(tail -n 1 here.json | grep -c '"failed"')" = 0 ] || fail "it came from there"
guest a h --type pvh
port=$(field listening port here.json)
moving a h --bandwidth 40M
kill -INT $mover
ended 3
wait_for 10 has_said $listening '"failed"' here.json
[ "$(field failed guest here.json)" = there ] || fail "$(tail -n 1 here.json)"

moving a h --bandwidth 40M
coming=$(on b "$B/xmigrate" --status h --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
kill -KILL $listening
kill_at_once $(pgrep -s "$coming") # with its engine, and that one's keeper
ended 3
on b "$B/xmigrate" --recover --json >recovered.json 2>recovered.err
[ "$(field recovered domain recovered.json)" = h ] || fail "$(cat recovered.*)"
[ "$(field recovered direction recovered.json)" = in ] && [ "$(field recovered now recovered.json)" = gone ] ||
    fail "$(cat recovered.*)"
# Sockets of the dead go, as soon as their parent has heard of their end.
no_socket() {
    must on b "$B/xmigrate" --status
    ! ls "$T/run-b/admin-"* >/dev/null 2>&1
}
wait_for 20 no_socket
stayed a b h
