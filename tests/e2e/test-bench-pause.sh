#!/bin/bash
# SPDX-License-Identifier: MIT
# Where a pause goes: the benchmark works, as many pages are left as it says, its parts are the whole,
# and it leaves nothing behind.
. "$E2E/lib.sh"
[ -z "$SAN" ] || skip "what it times has no sanitizer"

mkdir tmp results
export TMPDIR=$T/tmp
must "$TOP/perf/bench-pause" --build "$B" --output results --turns 1 "100 pages scattered 2" >said
must python3 - <<'END'
import json
cases = json.load(open('results/pause.json'))
assert [(c['type'], c['pages'], c['apart'], c['lanes']) for c in cases] == \
    [('pvh', 100, True, 2), ('pv', 100, True, 2)], cases
for c in cases:
    (turn,) = c['turns']
    # A PVH guest is sent once more while the destination gets ready: less is left of it.
    assert (100 if c['type'] == 'pv' else 1) <= turn['pages'] < 120, turn
    assert 0 < turn['replay_ms'] and 0 < sum(turn['parts_ms']) <= turn['whole_ms'] + 0.1, turn
END
# The same beside what is not memory. Its goal is for idle machines.
"$TOP/perf/bench-pools" --build "$B" --output results --turns 1 --memory 16M --pool 2M pvh hvm >>said
[ $? -le 1 ] || fail "bench-pools: $(cat said)"
must python3 - <<'END'
import json
cases = {(c['type'], c['pool']): c['turns'] for c in json.load(open('results/pools.json'))}
assert len(cases) == 6, cases
for (kind, pool), (turn,) in cases.items():
    assert turn['pause_ms'] > 0 and (turn['all_mib'] >= 2) == (pool != 'none'), (kind, pool, turn)
    assert pool == 'used' or not turn['entries'], (kind, pool, turn)
END
! grep -q '^failed' said || fail "$(grep '^failed' said)"
[ -z "$(ls tmp)" ] || fail "left behind: $(ls tmp)"
