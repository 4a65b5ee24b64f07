#!/bin/bash
# SPDX-License-Identifier: MIT
# Xen's limits and refusals, asked for through the stock libraries.
. "$E2E/lib.sh"
# The same on every kind of host: plain, all of whose memory was touched before, fragmented.
for kind in "" --prealloc "--fragment 100"; do
    host a --mem 512M $kind
    guest a pv --type pv --memory 64M
    guest a pvh --type pvh --memory 64M
    guest a busy --type pvh --memory 64M --vcpus 1 --dirty max
    must "$X" run a -- "$B/e2e/refusals" 1 2 3
    for call in "hypercall 33" "domctl 1003" "mmuext_op 99" "privcmd ioctl 5"; do
        grep -q "$call is not modelled" h/a/log || fail "the log does not name $call"
    done
    [ "$(grep -c "privcmd ioctl 5" h/a/log)" -eq 1 ] || fail "an ioctl is named more than once"
    whole a pv
    whole a pvh
    whole a busy
    must "$X" stop a
done
