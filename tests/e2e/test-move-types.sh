#!/bin/bash
# Every type of guest moves live and offline, with 1 and 4 lanes, compressed and not.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
for type in pv pv32 pvh; do
    guest a "$type" --type "$type" --content zero=25,text=50,random=25
    sleep 0.2
    move a "$type" --lanes 4
    moved a b "$type"
    must "$X" destroy b "$type"
    guest a "$type" --type "$type" --memory 64M
    move a "$type" --lanes 1 --no-compress
    moved a b "$type"
    must "$X" destroy b "$type"
    guest a "$type" --type "$type" --memory 64M
    xm a --offline "127.0.0.1:$port" "$type" >move 2>&1 || fail "offline: $(tail -n 5 move)"
    moved a b "$type"
    must "$X" destroy b "$type"
done
