#!/bin/bash
# SPDX-License-Identifier: MIT
# A device that cannot be attached at the destination: the guest runs on at the source, with its
# devices, and nothing of the copy is left.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
allows b disks
guest a web --disk phy:/dev/vg/web,script=block-x --disk "qdisk:$T/image" --vif
truncate -s 1M "$T/image"
printf '%s\n' 'script block-x' 'disk /dev/vg/web' "disk $T/image" >"$T/etc-b/policy"
before=$("$X" devices a)

# refuses DEVICES WORDS [OPTION...]: the move fails while the destination's devices are like that.
refuses() {
    local devices=$1 words=$2
    shift 2
    XENSIM_DEVICES=$devices listen b
    xm a --live "127.0.0.1:$port" web "$@" >"$T/said" 2>&1
    [ $? -eq 3 ] || fail "$devices: ended with $?, not 3: $(cat "$T/said")"
    grep -q "$words" "$T/said" || fail "$devices: said $(cat "$T/said")"
    wait_for 60 is_detached
    stayed a b web
    [ "$("$X" devices a)" = "$before" ] || fail "$devices: attached at the source: $("$X" devices a)"
    kill $listener
    wait $listener
}

is_detached() {
    [ -z "$("$X" devices b)" ]
}

refuses fail=xvda 'hotplug script of xvda exited with 1'
refuses time=200ms,fail=vif0 'hotplug script of vif0 exited with 1'
refuses missing=xvdb 'Disk vdev=xvdb failed to stat'
refuses hang=xvda 'start-timeout' --start-timeout 4s

# It takes its time, and that is part of the pause.
XENSIM_DEVICES=time=700ms listen b
xm a --live "127.0.0.1:$port" web --json >"$T/done.json" 2>"$T/said" || fail "$(cat "$T/said")"
moved a b web
[ "$("$X" devices b | awk '{ print $2 }' | xargs)" = "xvda xvdb vif0" ] ||
    fail "attached at the destination: $("$X" devices b)"
[ -z "$("$X" devices a)" ] || fail "attached at the source still: $("$X" devices a)"
must python3 - "$T/done.json" <<'END'
import json, sys
done = [e for e in map(json.loads, open(sys.argv[1])) if e['event'] == 'done'][0]
parts = done['downtime']
# The two disks, one after the other. libxl begins a little before word of the engine's end arrives.
sys.exit(sum(parts.values()) < 1_400_000_000 or parts['libxl_ns'] < 1_000_000_000)
END
