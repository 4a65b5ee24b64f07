#!/bin/bash
# SPDX-License-Identifier: MIT
# Several guests at once and in both directions, through one port on each host.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen a
to_a=$port
listen b
to_b=$port
for name in east1 east2 east3; do guest a $name --type pvh --memory 64M --dirty 500; done
for name in west1 west2 west3; do guest b $name --type pv --memory 64M --dirty 500; done

movers=
depart() {
    xm "$1" --live "127.0.0.1:$2" "$3" --lanes 2 -q >"$3.said" 2>&1 &
    movers="$movers $!:$3"
    echo $! >>pids
}

for i in 1 2 3; do
    depart a "$to_b" east$i
    depart b "$to_a" west$i
done
for mover in $movers; do
    wait "${mover%:*}" || fail "moving ${mover#*:} failed ($?): $(cat "${mover#*:}.said")"
done
for i in 1 2 3; do
    moved a b east$i
    moved b a west$i
done
[ -z "$(ls run-a run-b | grep -e '^in-' -e '^out-' -e '^link-')" ] || fail "left: $(ls run-a run-b)"
