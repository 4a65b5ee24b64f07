#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest of 256 MiB with 8 GiB in transcendent memory, which it uses all the time, moves.
# deadline: 1200
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/large.sh"
needs_memory 20
two_hosts --mem 9728M --tmem
listen b
guest a g --type pvh --memory 256M --tmem 8G --tmem-rate 5000
move a g --lanes 4 --json
moved a b g
python3 - "$T/move" <<'END' || fail "$(tail -n 3 "$T/move")"
import json, sys
events = [json.loads(line) for line in open(sys.argv[1]) if line.startswith('{')]
rounds = [event for event in events if event['event'] == 'round']
# In the first round all that is not flushed just then; in the pause what changed since.
assert 6 << 30 < rounds[0]['aux_bytes'] <= 8 << 30, rounds[0]
assert 0 < rounds[-1]['aux_entries'] < 5000, rounds[-1]
END
