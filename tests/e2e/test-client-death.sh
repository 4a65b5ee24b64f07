#!/bin/bash
# SPDX-License-Identifier: MIT
# A client that is killed at any moment leaves the host whole, its guests alive and nothing mapped.
# deadline: 240
. "$E2E/lib.sh"
needs_stock
host a
host b
for type in pvh pv; do
    for delay in 0.05 0.1 0.2; do
        guest a g --type $type --dirty 20000
        "$X" migrate a g b --live --helper "$STOCK" >/dev/null 2>said &
        mover=$!
        echo $mover >>pids
        sleep $delay
        pkill -9 -P $mover 2>/dev/null
        wait $mover 2>/dev/null
        if "$X" list b | grep -q " g "; then
            whole b g
            must "$X" destroy b g
        else
            sleep 0.1
            whole a g
            stock_move a g b
            whole b g
            must "$X" destroy b g
        fi
    done
done
# A writable mapping goes with its process.
guest a p --type pv
frame=$("$X" run a -- "$B/e2e/poke" "$("$X" id a p)" frame 5)
"$X" run a -- "$B/e2e/poke" "$("$X" id a p)" hold "$frame" 60 >held &
echo $! >>pids
for i in $(seq 50); do [ -s held ] && break; sleep 0.1; done
[ -s held ] || fail "could not map the frame"
kill -9 $!
sleep 0.2
whole a p
