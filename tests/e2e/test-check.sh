#!/bin/bash
# SPDX-License-Identifier: MIT
# --check says what is in the way of each kind of guest, of all things that are, and changes nothing.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
allows b disks.pdev_path
allows b nics.bridge
listen b

# checked CODE WORDS [OPTION...]: of g on a.
checked() {
    local code=$1 words=$2 got
    shift 2
    xm a --check "$@" g >said 2>err
    got=$?
    [ $got -eq "$code" ] || fail "ended with $got, not $code: $(cat said err)"
    grep -q -- "$words" said || fail "said: $(cat said err), not '$words'"
    logdirty_is a g off
    ! ls "$T/run-a" | grep -E '^(out|in)-.*json|^domain-' || fail "it left something"
}

for type in pvh pv pv32 hvm; do
    guest a g --type $type --memory 16M
    checked 0 '^in the way: 0$'
    checked 0 'other host .* ok b .* takes it' "127.0.0.1:$port"
    state_is a g running
    "$X" pause a g
    checked 2 'state .* NO .*is paused'
    must "$X" destroy a g
done
for p2m in list tree; do
    guest a g --type pv --p2m $p2m --memory 16M --remap 200
    checked 0 "memory .* ok its p2m is a $p2m; it maps no frames of others"
    must "$X" destroy a g
done
guest a g --type pvh --memory 16M
must on a python3 "$E2E/set_config.py" g '{"c_info": {"type": "pvh", "name": "g"}, "pcidevs": [{"dev": 3}],
    "b_info": {"max_vcpus": 2, "max_memkb": 16384, "target_memkb": 16384, "type.pvh": {}, "tsc_mode": "native"}}'
checked 2 'devices .* NO .*PCI passthrough.*detach it first'
grep -q 'clock .* ok tsc_mode is native' said || fail "of its clock: $(cat said)"
must "$X" destroy a g
guest a g --type pvh --memory 16M --feature-suspend 0
guest b g --memory 16M
checked 2 'suspend .* NO .*says that it cannot suspend' "127.0.0.1:$port"
checked 2 '"in_the_way":1' --json
checked 2 'other host .* NO ' "127.0.0.1:$port"
must "$X" destroy a g
must "$X" destroy b g
guest a g --type pvh --memory 64M
moving a g --bandwidth 20M --compress none
xm a --check g >said 2>&1
[ $? -eq 2 ] && grep -q 'hold .* NO .*already' said || fail "of one that is moved: $(cat said)"
kill -TERM $mover
ended 3
host c --no-shadow
guest c g --type pv --memory 16M
on c "$B/xmigrate" --check g >said 2>&1
[ $? -eq 2 ] && grep -q 'tracking .* NO .*shadow' said || fail "without shadow paging: $(cat said)"
refused 2 'there is no domain "h"' a --check h
"$X" destroy a g

# What it would miss at the other host: told of each, and by --estimate, which goes on.
guest a g --type pvh --memory 16M
checked 0 '^in the way: 0$' "127.0.0.1:$port"
must on a python3 "$E2E/set_config.py" g '{"c_info": {"type": "pvh", "name": "g"},
    "b_info": {"max_vcpus": 2, "max_memkb": 16384, "target_memkb": 16384, "type.pvh": {}},
    "disks": [{"pdev_path": "/nowhere/g.img", "vdev": "xvda", "format": "raw", "backend": "qdisk", "readwrite": 1}],
    "nics": [{"devid": 1, "mac": "00:16:3e:01:02:03", "bridge": "nobridge7"}]}'
checked 2 'other host .* NO its disk xvda (/nowhere/g.img) is not there' "127.0.0.1:$port"
grep -q 'other host .* NO there is no bridge nobridge7 for its vif 1' said || fail "of its bridge: $(cat said)"
grep -q '^in the way: 2$' said || fail "of more: $(cat said)"
xm a --estimate "127.0.0.1:$port" g >said 2>&1 || fail "no estimate: $(cat said)"
grep -q 'b .*: its disk xvda (/nowhere/g.img) is not there' said || fail "an estimate does not say it: $(cat said)"
must "$X" destroy a g
host d --old-cpu
mkdir -p -m 700 "$T/run-d"
trust a d
trust d a
listen d
for type in pvh pv hvm; do
    guest a g --type $type --memory 16M
    checked 2 'other host .* NO its processor lacks .*: CPUID 0x1 ecx 0x1$' "127.0.0.1:$port"
    must "$X" destroy a g
done
