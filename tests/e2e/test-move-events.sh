#!/bin/bash
# --json: one object a line on stdout and nothing else, in the order and with the fields that
# docs/events.md says; what people read goes to stderr.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh
must xm a --live "127.0.0.1:$port" g --json >move.json 2>move.err
moved a b g
grep -q 'g runs on' move.err || fail "no summary on stderr: $(cat move.err)"
must python3 - "$TOP/docs/events.md" <<'END'
import json, re, sys

documented, kind = {}, None
for line in open(sys.argv[1]):
    if line.startswith('## '):
        kind = line[3:].strip()
        documented[kind] = {'event', 'elapsed_ns'}
    elif kind and line.startswith('| `'):
        documented[kind] |= {f.split('.')[0] for f in re.findall(r'`([a-z_.]+)`', line.split('|')[1])}
kinds, elapsed = [], 0
for line in open('move.json'):
    event = json.loads(line)
    kind = event['event']
    if set(event) != documented[kind]:
        sys.exit(f'{kind}: {sorted(set(event) ^ documented[kind])} not as documented')
    if event['elapsed_ns'] < elapsed:
        sys.exit(f'{kind}: time runs back')
    elapsed = event['elapsed_ns']
    if kind not in ('progress', 'decision') and (kind != 'round' or kinds[-1:] != ['round']):
        kinds.append(kind)
    if kind == 'done' and sum(event['downtime'].values()) != event['downtime_ns']:
        sys.exit('the parts of the downtime are not its sum')
if kinds != ['start', 'round', 'suspending', 'suspended', 'round', 'ready', 'go', 'done']:
    sys.exit(f'not in order: {kinds}')
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
