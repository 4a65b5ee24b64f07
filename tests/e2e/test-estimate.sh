#!/bin/bash
# SPDX-License-Identifier: MIT
# --estimate tells what a move would be like, and leaves the guest as it is, however it ends.
# deadline: 200
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts --tmem
listen b
# estimate [OPTION...]: of g on a; the event is in ./estimate.json.
estimate() {
    xm a --estimate "127.0.0.1:$port" g --json "$@" >estimate.json 2>estimate.err ||
        fail "estimating failed ($?): $(tail -n 3 estimate.err)"
    [ "$(wc -l <estimate.json)" -eq 1 ] || fail "not one event: $(cat estimate.json)"
    untouched a b g
}

guest a g --type pvh --pattern idle
domid=$("$X" id a g)
# What compression would bring follows the machine's load, so bytes are not compared with it.
estimate --compress none
[ "$("$X" id a g)" = "$domid" ] || fail "another domain has its name"
must python3 - <<'PY'
import json
e = json.load(open('estimate.json'))
assert e['event'] == 'estimate' and e['domain'] == 'g' and e['type'] == 'pvh', e
assert e['guest_pages'] >= 32768 and e['dirty_pages'] < 100, e
assert 0.15 < e['zero_share'] < 0.35, e          # a quarter of its pages is
assert 4.9e9 < e['watched_ns'] < 7e9, e
assert len(e['outcomes']) == 1, e                # nothing to choose where the target is met
o = e['outcomes'][0]
assert o['on_stall'] == 'suspend' and o['action'] == 'suspend' and o['reason'] == 'downtime', o
# Nothing was moved yet: it may be anything.
assert o['met'] and o['rounds'] == 2 and o['downtime_ns'] < 300e6, o
assert o['low_ns'] < 30e6 and o['high_ns'] > 965e6, o
assert 60 << 20 < o['wire_bytes'] < 140 << 20, o
PY
# For people, on standard output; and what was said is what then is.
xm a --estimate "127.0.0.1:$port" g --compress none >told 2>/dev/null || fail "$(cat told)"
grep -q '^moving it live would take .* 2 rounds .* within the 300 ms asked$' told ||
    fail "it said: $(cat told)"
move a g
moved a b g
must "$X" destroy b g

# Now a move is known of these two hosts; and the guest has 16 MiB that are not memory.
guest a g --type pvh --pattern idle --tmem 16M --tmem-rate 1000
cp estimate.json before.json
estimate --compress none
must "$X" destroy a g
must python3 - <<'PY'
import json
before, after = (json.load(open(f))['outcomes'][0] for f in ('before.json', 'estimate.json'))
assert after['high_ns'] - after['low_ns'] < (before['high_ns'] - before['low_ns']) / 2, (before, after)
assert 14 << 20 < after['wire_bytes'] - before['wire_bytes'] < 24 << 20, (before, after)
e = json.load(open('estimate.json'))
assert 14 << 20 < e['aux_bytes'] <= 16 << 20 and 1 << 20 < e['aux_changed_bytes'] <= 16 << 20, e
assert e['dirty_pages'] < 100 < e['dirty_pages_per_s'], e
PY

# Faster than the link: what would be, with each of --on-stall.
guest a g --type pv --memory 48M --dirty 24000 --tmem 1M --tmem-rate 100
must "$X" cap a g 150
estimate --bandwidth 300M --compress none --on-stall abort
[ "$("$X" cap a g)" = 150 ] || fail "its cap was touched"
must python3 - <<'PY'
import json
e = json.load(open('estimate.json'))
assert 200e6 < e['link_bits_per_s'] < 330e6, e['link_bits_per_s']
assert e['compress'] == 'none' and e['page_bytes'] > 4096, e
by = {o['on_stall']: o for o in e['outcomes']}
assert [o['on_stall'] for o in e['outcomes']] == ['abort', 'suspend', 'throttle'], list(by)
assert by['abort']['action'] == 'give-up' and not by['abort']['met'], by['abort']
assert by['suspend']['action'] == 'suspend' and by['suspend']['downtime_ns'] > 500e6, by
assert by['suspend']['reason'] == 'minimum' and 'over the 300 ms asked' in by['suspend']['text'], by
assert by['throttle']['downtime_ns'] < by['suspend']['downtime_ns'] / 2, by
assert 0 < by['throttle']['cap_percent'] < 150, by
assert by['throttle']['rounds'] > by['suspend']['rounds'] >= 3, by
PY

# What a move would be refused for, and who may not move anything here.
guest b g
refused 2 'a domain named "g" exists on the destination' a --estimate "127.0.0.1:$port" g
must "$X" destroy b g
host c
mkdir -p -m 700 run-c
guest c g
xm c --estimate "127.0.0.1:$port" g >told 2>&1
[ $? -eq 2 ] || fail "a stranger was not refused: $(cat told)"
grep -q -- --trust told || fail "it does not say what to do: $(cat told)"
logdirty_is c g off
refused 2 'there is no domain "h"' a --estimate "127.0.0.1:$port" h
moving a g --bandwidth 20M --compress none
refused 2 'is being moved or saved already' a --estimate "127.0.0.1:$port" g
kill -TERM $mover
ended 3
untouched a b g

# watching: an estimate under way whose dirty log is on; its pid is $mover.
is_watched() {
    kill -0 $mover 2>/dev/null || fail "it ended: $(cat told.err)"
    "$X" list a | awk '$2 == "g" && $8 == "on" { found = 1 } END { exit !found }'
}
watching() {
    xmigrate_on a --estimate "127.0.0.1:$port" g
    launch told told.err "${command[@]}"
    mover=$launched
    wait_for 20 is_watched
}
for signal in TERM INT; do
    watching
    kill -$signal $mover
    wait $mover
    [ $? -eq 3 ] || fail "not stopped by $signal: $(cat told.err)"
    untouched a b g
done
watching
kill -KILL $mover
wait $mover
logdirty_is a g on
xm a --estimate "127.0.0.1:$port" g >told 2>&1 && fail "watched over what was left"
grep -q -- --recover told || fail "it said: $(cat told)"
must on a "$B/xmigrate" --recover
untouched a b g
move a g
moved a b g
