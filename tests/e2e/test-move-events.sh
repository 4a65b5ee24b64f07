#!/bin/bash
# SPDX-License-Identifier: MIT
# --json: one object a line on stdout and nothing else, in the order and with the fields that
# docs/events.md says; what people read goes to stderr.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh
must xm a --live "127.0.0.1:$port" g --json --lanes 3 >move.json 2>move.err
moved a b g
grep -q 'g runs on' move.err || fail "no summary on stderr: $(cat move.err)"
must python3 - "$TOP/docs/events.md" "$TOP/docs/events.schema.json" <<'END'
import json, re, sys

documented, kind, lane_fields = {}, None, set()
for line in open(sys.argv[1]):
    if line.startswith('## '):
        kind = line[3:].strip()
        documented[kind] = {'event', 'elapsed_ns', 'time', 'version', 'migration'}
    elif line.startswith('Each of `lanes`'):
        kind = None
    elif kind is None and documented and line.startswith('| `'):
        lane_fields |= set(re.findall(r'`([a-z_]+)`', line.split('|')[1]))
    elif kind and line.startswith('| `'):
        documented[kind] |= {f.split('.')[0] for f in re.findall(r'`([a-z_.]+)`', line.split('|')[1])}
# (The fields of an estimate's outcomes stand in a table of their own.)
schema = json.load(open(sys.argv[2]))['$defs']
for kind, fields in documented.items():
    if kind in schema and kind != 'estimate' and fields - set(schema[kind]['properties']):
        sys.exit(f'{kind}: the schema lacks {fields - set(schema[kind]["properties"])}')
kinds, elapsed, migrations = [], 0, set()
for line in open('move.json'):
    event = json.loads(line)
    kind = event['event']
    if set(event) != documented[kind]:
        sys.exit(f'{kind}: {sorted(set(event) ^ documented[kind])} not as documented')
    if event['elapsed_ns'] < elapsed:
        sys.exit(f'{kind}: time runs back')
    elapsed = event['elapsed_ns']
    migrations.add(event['migration'])
    if kind not in ('progress', 'decision') and (kind != 'round' or kinds[-1:] != ['round']):
        kinds.append(kind)
    if kind == 'done':
        done = event
        if sum(ns for part, ns in event['downtime'].items() if part != 'journal_ns') != event['downtime_ns']:
            sys.exit('the parts of the downtime are not its sum')
if len(migrations) != 1 or not re.fullmatch('[0-9a-f]{32}', migrations.pop()):
    sys.exit('events of one migration with several ids')
# (Where there are many pages some go while the guest suspends.)
if kinds[3:4] == ['round']:
    del kinds[3]
if kinds != ['start', 'round', 'suspending', 'suspended', 'round', 'ready', 'go', 'done']:
    sys.exit(f'not in order: {kinds}')
if len(done['lanes']) != 3:
    sys.exit(f'not three lanes: {done}')
for lane in done['lanes']:
    if set(lane) != lane_fields:
        sys.exit(f'lane: {sorted(set(lane) ^ lane_fields)} not as documented')
    parts = sum(ns for name, ns in lane.items() if name.endswith('_cpu_ns'))
    if not lane['cpu_ns'] / 2 < parts <= lane['cpu_ns']:
        sys.exit(f'the stages are {parts} ns of {lane["cpu_ns"]} ns')
    if lane['allocations'] or not lane['batches'] or not lane['wire_bytes']:
        sys.exit(f'allocations, or nothing sent: {lane}')
END
# A failure has an event as well, and the exit code in it is the program's.
xm a --live "127.0.0.1:$port" nobody --json >failed.json 2>/dev/null
[ $? -eq 2 ] || fail "not refused"
must python3 -c '
import json
event = json.loads(open("failed.json").read())
assert event["event"] == "failed" and event["exit_code"] == 2 and "nobody" in event["text"], event
assert event["class"] == "refused" and event["side"] == "source" and event["guest"] == "here", event'
# A name that JSON cannot hold is no reason to be silent.
xm a --live "127.0.0.1:$port" $'M\xfcll\n' --json >failed.json 2>failed.err
[ $? -eq 2 ] || fail "not refused"
[ "$(wc -l <failed.err)" -eq 1 ] || fail "not one line: $(cat failed.err)"
must python3 -c '
import json
assert "\"M?ll?\"" in json.loads(open("failed.json").read())["text"]'
