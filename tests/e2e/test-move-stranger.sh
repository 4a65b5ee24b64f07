#!/bin/bash
# SPDX-License-Identifier: MIT
# Who reads along on the network sees the tokens of trunk and lanes: his silent connections, opened with
# them beside all that belong to a move, neither stop it nor keep it waiting, and the same for an
# estimate.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh --memory 64M
wire tapped
start=$SECONDS
xm a --estimate "127.0.0.1:$(cat wire.tapped)" g --lanes 4 --silent-timeout 20s >said 2>&1 ||
    fail "not estimated: $(tail -n 1 said)"
untouched a b g
xm a --live "127.0.0.1:$(cat wire.tapped)" g --lanes 4 --silent-timeout 20s >said 2>&1 ||
    fail "not moved: $(tail -n 1 said)"
moved a b g
[ -n "$SAN" ] || [ $((SECONDS - start)) -lt 30 ] || fail "kept waiting: $((SECONDS - start)) s"
