#!/bin/bash
# SPDX-License-Identifier: MIT
# A disk that is attached or detached while a guest moves, which its copy would not have, or have, and
# a vCPU that it is told to use no longer: the guest stays.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
for type in pv pvh; do
    guest a g --type $type --memory 32M --vcpus 2 --vif
    id=$("$X" id a g)
    for change in "attach a $id xvdb phy:/dev/other" "detach a $id xvdb"; do
        moving a g --bandwidth 60M --max-rounds 1
        must "$X" $change
        ended 3
        grep -q 'was given other devices' "$T/moving.err" || fail "$(cat "$T/moving.err")"
        untouched a b g
    done
    moving a g --bandwidth 60M --max-rounds 1
    must "$X" vcpu-set a g 1
    ended 3
    grep -q 'was given other vCPUs to use' "$T/moving.err" || fail "$(cat "$T/moving.err")"
    untouched a b g
    move a g
    moved a b g
    must "$X" destroy b g
done
