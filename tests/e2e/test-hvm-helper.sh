#!/bin/bash
# SPDX-License-Identifier: MIT
# An HVM guest whose device model writes to its memory, moved by our helper and by the stock one. With
# the device model's log-dirty suppressed what it wrote is stale: the test sees that.
# deadline: 120
. "$E2E/lib.sh"
needs_stock
host a
host b
ours=$B/xmigrate-save-helper
dm_is() { # HOST WORDS
    local said
    said=$("$X" dm "$1" g)
    [ "$said" = "$2" ] || fail "the device model on $1: $said, not $2"
}
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
for fault in refuse die; do
    must "$X" dm a g $fault
    must_say 'log-dirty' "$X" migrate a g b --live --helper "$ours"
    state_is a g running
    logdirty_is a g off
    must "$X" dm a g obey
done
must "$X" destroy a g

guest a g --type hvm --memory 64M --dma 500
must "$X" dm a g ignore-log
must "$X" migrate a g b --live --helper "$ours" >/dev/null
sleep 0.3
said=$("$X" verify b g 2>&1) && fail "nobody missed what the device model wrote: $said"
case $said in *"device's ring"* | *stale*) ;; *) fail "verify said: $said" ;; esac
