#!/bin/bash
# SPDX-License-Identifier: MIT
# Files of guests beside stock xl: the benchmark works, each way was taken, and it leaves nothing behind.
. "$E2E/lib.sh"
[ -z "$SAN" ] || skip "what it times has no sanitizer"
needs_stock

mkdir tmp results
export TMPDIR=$T/tmp
"$TOP/perf/bench-checkpoint" --build "$B" --output results --turns 1 --size 32M >said
[ $? -le 1 ] || fail "it ended with an error: $(tail -n 5 said)"
must python3 - <<'PYTHON'
import json
turns = json.load(open('results/checkpoint.json'))
ways = [(t['what'], t['way']) for t in turns]
assert len(ways) == len(set(ways)) == 11, ways
size = {(t['what'], t['way']): t['file_bytes'] for t in turns}
assert all(t['seconds'] > 0 and t['file_bytes'] > 100000 for t in turns), turns
assert size['write', 'compact'] < size['write', 'compact none'] < size['write', 'stock'], size
assert size['incremental', 'child'] < size['incremental', 'full'] // 4, size
PYTHON
! grep -q '^failed' said || fail "$(grep '^failed' said)"
[ -z "$(ls tmp)" ] || fail "left behind: $(ls tmp)"
