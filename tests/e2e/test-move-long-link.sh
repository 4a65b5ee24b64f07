#!/bin/bash
# SPDX-License-Identifier: MIT
# Over a long link a lane is as fast as plain TCP, or nearly: half of it is asked for, because others
# use this machine, too.
. "$E2E/lib.sh"
[ -z "$SAN" ] || skip "a sanitizer is slower than the link"
. "$E2E/move.sh"
. "$E2E/link.sh"
two_hosts
long_link 200 100 0
guest a g --memory 32M --dirty 0 --type pvh --content random=100
rate_of 32 "$B/perf/floor" tcp 1 32 "${network[a]}" "${network[b]}" $FAR >plain
plain=$rate
listen_at b $FAR:0
rate_of 32 xm a --live "$FAR:$port" g --lanes 1 -q
moved a b g
echo "plain TCP $plain Mbit/s, a lane $rate"
awk -v ours="$rate" -v plain="$plain" 'BEGIN { exit !(ours >= plain / 2) }' ||
    fail "a lane moves $rate Mbit/s, plain TCP $plain"
