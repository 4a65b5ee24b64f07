#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests of every type that write to their pages in place, or as a database did, arrive whole, most of
# what is sent again as differences; with --delta-cache 0 nothing is.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b

# differing TYPE CONTENT OPTION...: moves such a guest on a link that its writes keep full.
differing() {
    local type=$1 content=$2
    shift 2
    guest a $type --type $type --memory 32M --content "$content" --pattern hot --dirty 9000 \
        --remap 200
    xm a --live "127.0.0.1:$port" $type --lanes 3 --bandwidth 200M --max-rounds 4 --json "$@" \
        >said 2>err || fail "$type $content $*: $(tail -n 5 err)"
    moved a b $type
    must "$X" destroy b $type
}

# sent FIELD: of the whole move.
sent() {
    sed -n 's/.*"event":"done".*"'"$1"'":\([0-9]*\).*/\1/p' said
}

for type in pv pv32 pvh; do
    differing $type random=80,zero=20,write=64 --compress none --delta-cache 8M
    [ "$(sent delta_pages)" -gt 100 ] || fail "$type: $(sent delta_pages) differences"
    [ "$(sent delta_saved_bytes)" -gt $(($(sent delta_pages) * 3000)) ] ||
        fail "$type: $(sent delta_pages) differences saved $(sent delta_saved_bytes) bytes"
done
# More is written to than is kept, and it changes altogether now and then.
differing pvh sqlite --delta-cache 1M
[ "$(sent delta_pages)" -gt 0 ] || fail "no differences"
differing pvh random=100,write=64 --delta-cache 0
[ "$(sent delta_pages)" -eq 0 ] || fail "differences without a cache"
