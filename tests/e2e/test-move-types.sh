#!/bin/bash
# SPDX-License-Identifier: MIT
# Every type of guest moves live and offline, over 1 and 4 lanes, with every way to compress. Live, it is
# built before the pause.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
early=0
for type in pv pv32 pvh; do
    for how in live offline; do
        for lanes in 1 4; do
            [ $lanes -eq 1 ] && ways="none zstd" || ways="lz4 auto"
            for compress in $ways; do
                guest a $type --type $type --memory 64M --content zero=25,text=50,random=25
                xm a --$how "127.0.0.1:$port" $type --lanes $lanes --compress $compress --json >said 2>err ||
                    fail "$type $how, lanes: $lanes $compress: $(tail -n 5 err)"
                python3 - $how $lanes $compress <<'END' || fail "$type $how, lanes: $lanes $compress"
import json, sys
how, lanes, compress = sys.argv[1:]
events = {event['event']: event for event in map(json.loads, open('said'))}
start, done = events['start'], events['done']
assert start['live'] == (how == 'live') and start['lanes'] == int(lanes), start
# Three quarters of the pages hold something; a third of that does not compress.
# Differences are beside that.
deltas = done['delta_pages']
wire = (done['wire_bytes'] - deltas * 4096 + done['delta_saved_bytes']) / (
    (done['data_pages'] - deltas) * 4096)
least, most = {'none': (1, 1.2), 'lz4': (0.4, 0.9), 'zstd': (0.3, 0.75), 'auto': (0.3, 1.2)}[compress]
assert least < wire < most, f'{wire:.2f} of the data on the wire'
END
                moved a b $type
                [ $how = offline ] || early=$((early + 1))
                [ "$(grep -c ', which still runs on' listen-b.err)" -eq $early ] ||
                    fail "$type $how was built at the wrong time: $(cat listen-b.err)"
                must "$X" destroy b $type
            done
        done
    done
done
