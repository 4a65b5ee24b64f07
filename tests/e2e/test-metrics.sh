#!/bin/bash
# SPDX-License-Identifier: MIT
# --metrics: moves that have ended are counted at both ends, those under way are shown, and a reader
# sees all of the file or the one before.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh

metrics() {
    must on "$1" "$B/xmigrate" --metrics "$T/metrics-$1"
}

has() { # HOST LINE
    grep -qxF "$2" "$T/metrics-$1" || fail "no line '$2' on $1: $(cat "$T/metrics-$1")"
}

metrics a
has a 'xmigrate_migrations_total{direction="out",outcome="done"} 0'
has a '# EOF'
ratio_known() {
    metrics a
    grep -q '^xmigrate_migration_done_ratio{direction="out",domain="g",peer="b (127.0.0.1)"} 0' metrics-a
}
moving a g --bandwidth 80M
wait_for 10 ratio_known
has a 'xmigrate_migrations_under_way{direction="out"} 1'
metrics b
has b 'xmigrate_migrations_under_way{direction="in"} 1'
python3 - "$T/run-a/admin-$mover" <<'END' || fail "not on the admin socket"
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
s.send(b'{"do": "metrics"}\n')
answer = json.loads(b''.join(iter(lambda: s.recv(4096), b'')))
text = answer['text']
assert answer['ok'] and text.endswith('# EOF\n'), text
assert 'xmigrate_migrations_under_way{direction="out"} 1\n' in text, text
assert 'xmigrate_migration_wire_bytes{direction="out",domain="g"' in text, text
END
must on a "$B/xmigrate" --set g bandwidth=none
ended 0
moved a b g
metrics a
metrics b
has a 'xmigrate_migrations_total{direction="out",outcome="done"} 1'
has b 'xmigrate_migrations_total{direction="in",outcome="done"} 1'
has a 'xmigrate_migrations_under_way{direction="out"} 0'
awk '/^xmigrate_(duration|downtime|predicted_downtime)_seconds_total|^xmigrate_wire_bytes_total/ {
        n++; if ($2 <= 0) exit 1 } END { exit n != 4 }' metrics-a || fail "$(cat metrics-a)"
on a "$B/xmigrate" --metrics - | cmp - metrics-a || fail "standard output says something else"
command_on a "$B/xmigrate" --metrics /nowhere/file
must_say 'cannot write' "${command[@]}"
[ "$(ls | grep -c '^metrics-a')" = 1 ] || fail "left behind: $(ls)"
[ "$(stat -c %a metrics-a)" = 644 ] || fail "others cannot read it"
