#!/bin/bash
# SPDX-License-Identifier: MIT
# A destination that takes its time with every connection after the first is waited for, each for as
# long as a peer may be silent; one that never answers is given up in that time.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh
wire slow
xm a --live "127.0.0.1:$(cat wire.slow)" g --lanes 3 --connect-timeout 1s --silent-timeout 6s >move 2>&1 ||
    fail "it did not wait: $(tail -n 1 move)"
moved a b g
must "$X" destroy b g

guest a g --type pvh
wire mute
start=$SECONDS
refused 3 'did not answer' a --live "127.0.0.1:$(cat wire.mute)" g --silent-timeout 6s -q
[ $((SECONDS - start)) -lt 10 ] || fail "given up only after $((SECONDS - start)) s"
untouched a b g
