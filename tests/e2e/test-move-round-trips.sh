#!/bin/bash
# SPDX-License-Identifier: MIT
# However many lanes: connections are made side by side, and the first page leaves after at most
# eight round trips. In the pause there are two: the last bytes and READY, GO and STARTED; and they are
# part of what is said of it. They last a second, so that this machine's own work and its load count for
# little; one after the other eight lanes took 55.
. "$E2E/lib.sh"
[ -z "$SAN" ] || skip "a sanitizer is slower than the link"
. "$E2E/move.sh"
. "$E2E/link.sh"
two_hosts
long_link 200 1000 0
guest a g --memory 16M --dirty 0 --type pvh
listen_at b $FAR:0
xm a --live "$FAR:$port" g --lanes 8 --json >events 2>err || fail "not moved: $(tail -n 1 err)"
moved a b g
trips=$(python3 - <<'PY'
import json
first = next(e for e in map(json.loads, open('events')) if e['event'] == 'round')
print('%.1f' % ((first['elapsed_ns'] - first['duration_ns']) / 1e9))
PY
)
echo "$trips round trips before the first page"
awk -v n="$trips" 'BEGIN { exit !(n <= 8) }' || fail "$trips round trips before the first page"
must python3 - <<'PY'
import json
done = [json.loads(line) for line in open('events')][-1]
assert 2e9 <= done['downtime_ns'] < 2.75e9, done['downtime_ns']
assert 2e9 <= done['predicted']['network_ns'] < 2.1e9, done['predicted']
low, high = done['predicted']['low_ns'], done['predicted']['high_ns']
assert low < done['downtime_ns'] < high, (low, done['downtime_ns'], high)
PY
