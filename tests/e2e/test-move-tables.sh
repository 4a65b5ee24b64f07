#!/bin/bash
# SPDX-License-Identifier: MIT
# Who copies the page tables of a running PV guest meets tables that change while they are read, and
# entries that name what is no memory of the guest's; no entry is half one and half another. Such
# tables are put off while they move, and right in the end.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
for type in pv pv32; do
    guest a g --type $type --memory 64M --dirty max --remap 1000000
    "$X" run a -- "$B/e2e/poke" "$("$X" id a g)" tables 2 >seen || fail "cannot look at page tables"
    read -r _ looks _ changed _ foreign _ torn <seen
    [ "$changed" -gt 0 ] || fail "$type: no table changed while it was read: $(cat seen)"
    [ "$foreign" -ge "$looks" ] || fail "$type: looks without a foreign entry: $(cat seen)"
    [ "$torn" -eq 0 ] || fail "$type: entries that nobody wrote: $(cat seen)"
    must "$X" rate a g 4000
    xm a --live "127.0.0.1:$port" g --json >said 2>err || fail "$type: $(tail -n 5 err)"
    python3 - <<'END' || fail "$type: no page table was put off"
import json, sys
rounds = [e for e in map(json.loads, open('said')) if e['event'] == 'round']
sys.exit(not sum(r['deferred_pages'] for r in rounds) > 0)
END
    moved a b g
    must "$X" destroy b g
done
