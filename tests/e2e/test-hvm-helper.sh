#!/bin/bash
# SPDX-License-Identifier: MIT
# An HVM guest whose device model writes to its memory, moved by our helper and by the stock one. With
# the device model's log-dirty suppressed what it wrote is stale: the test sees that.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/hvm.sh"
needs_stock
host a
host b
ours=$B/xmigrate-save-helper
there_and_back() { # HELPER HELPER_TO
    must "$X" migrate a g b --live --helper "$1" --helper-to "$2" >/dev/null
    dm_is b 'running, log-dirty off'
    sleep 0.2
    whole b g
    must "$X" migrate b g a --helper "$1" --helper-to "$2" >/dev/null
    sleep 0.2
    whole a g
}
guest a g --type hvm --memory 64M --dma 500
sleep 0.2
whole a g
dm_is a 'running, log-dirty off'
there_and_back "$ours" "$ours"
there_and_back "$ours" "$STOCK"
there_and_back "$STOCK" "$ours"
must "$X" save a g image --helper "$ours"
must "$X" restore b image --helper "$ours" >/dev/null
sleep 0.2
whole b g
must "$X" destroy b g

# One that refuses, or is dead: the guest stays.
guest a g --type hvm --memory 64M --dma 500
must "$X" dm a g refuse
must_say 'device model' "$X" migrate a g b --live --helper "$ours"
state_is a g running
logdirty_is a g off
must "$X" dm a g die
must_say 'it is dead' "$X" migrate a g b --live --helper "$ours"
state_is a g running
logdirty_is a g off
must "$X" destroy a g

# The toolstack is killed while guest and device model stand still: the helper brings both back.
guest a g --type hvm --memory 64M --dma 500
must "$X" dm a g slow:2s
launch out err "$X" migrate a g b --live --helper "$ours"
wait_for 30 eval '"$X" dm a g | grep -q paused'
state_is a g suspended
kill -9 $launched
wait_for 20 eval '"$X" list a | grep -q running'
dm_is a 'running, log-dirty off'
logdirty_is a g off
must "$X" dm a g obey
whole a g
must "$X" destroy a g
for id in $("$X" list b | awk 'NR > 1 { print $1 }'); do must "$X" destroy b $id; done

guest a g --type hvm --memory 64M --dma 500
must "$X" dm a g ignore-log
must "$X" migrate a g b --live --helper "$ours" >/dev/null
sleep 0.3
said=$("$X" verify b g 2>&1) && fail "nobody missed what the device model wrote: $said"
case $said in *"device's ring"* | *stale*) ;; *) fail "verify said: $said" ;; esac
