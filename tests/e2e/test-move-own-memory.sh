#!/bin/bash
# SPDX-License-Identifier: MIT
# What our processes take for themselves, with the most lanes and all codecs at work: 64 MiB, one byte
# a guest page and --delta-cache at the source, 64 MiB and ten bytes a guest page at the destination.
. "$E2E/lib.sh"
. "$E2E/move.sh"
case $B in *asan | *tsan) skip "a sanitizer takes more than we do" ;; esac
two_hosts
listen b
# under WHERE MIB BYTES_PER_PAGE PID...: the sum of what is theirs alone.
under() {
    local where=$1 limit_kib=$(($2 * 1024 + guest_mib * 256 * $3 / 1024)) kib
    shift 3
    kib=$(for pid in "$@"; do cat "/proc/$pid/status"; done | awk '/^RssAnon/ { sum += $2 }
        END { print sum + 0 }')
    echo "$where: $kib KiB of $limit_kib"
    [ $# -eq 2 ] && [ "$kib" -gt 0 ] || fail "not two processes at the $where: $*"
    [ "$kib" -le $limit_kib ] || fail "the $where takes $kib KiB, the limit is $limit_kib"
}
guest_mib=512
for type in pv pvh; do
    guest a g --type $type --memory ${guest_mib}M --dirty 20000 --content text=80,random=20
    moving a g --bandwidth 1G --lanes 64 --compress auto --delta-cache 32M
    wait_for 60 grep -q '"round":2' moving.json
    under source $((64 + 32)) 1 $mover "$(helper)"
    receiver=$(pgrep -n -x -P $listener xmigrate)
    under destination 64 10 "$receiver" "$(pgrep -P "$receiver")"
    kill -TERM $mover
    ended 3
    untouched a b g
    must "$X" destroy a g
done
