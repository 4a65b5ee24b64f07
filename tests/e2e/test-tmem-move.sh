#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests move with what they keep in transcendent memory, while they put, get and flush it: each type,
# live and offline. Only what changed since the last look is left for the pause. A host without it
# refuses a guest with a persistent pool.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts --tmem
listen b
for type in pv pv32 pvh hvm; do
    guest a $type --type $type --memory 16M --tmem 4M --tmem-rate 1000
done
for type in pv pv32 pvh hvm; do
    [ $type = pv32 ] && how=offline || how=live
    xm a --$how "127.0.0.1:$port" $type --lanes 3 --json >said 2>err ||
        fail "$type $how: $(tail -n 5 err)"
    python3 - $how <<'END' || fail "$type $how: $(cat said)"
import json, sys
events = [json.loads(line) for line in open('said')]
rounds = [event for event in events if event['event'] == 'round']
done = events[-1]
assert done['event'] == 'done', done
# Flushed pages are not sent.
assert 2 << 20 < done['aux_bytes'] == sum(r['aux_bytes'] for r in rounds), done
assert done['wire_bytes'] > done['aux_bytes'], done
if sys.argv[1] == 'live':
    # All of it in the first round; what the guest changed in one is in the next.
    assert rounds[0]['aux_bytes'] > 2 << 20 and rounds[0]['aux_left_bytes'] > 0, rounds[0]
    assert rounds[-1]['last'] and rounds[-1]['aux_bytes'] < rounds[0]['aux_bytes'], rounds[-1]
    print(rounds[-1]['aux_entries'], file=open('late', 'a'))
END
    moved a b $type
done
[ "$(awk '{ sum += $1 } END { print sum }' late)" -gt 0 ] || fail "no guest changed anything of it in the end"
must "$X" destroy b pvh

# Not there: refused before a page is sent, and the guest runs on.
host c
mkdir -p -m 700 "$T/run-c"
trust a c
trust c a
listen c
guest a stays --type pvh --memory 16M --tmem 1M --tmem-rate 500
refused 2 'which Xen on this host does not have' a --live "127.0.0.1:$port" stays --quiet
stayed a c stays
# Nor does the stream of Xen's own tools take it, and our helper in their place says so.
must_say 'auxiliary data (tmem) that Xen' "$X" migrate a stays b --live --helper "$B/xmigrate-save-helper"
stayed a b stays
