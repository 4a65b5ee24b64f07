#!/bin/bash
# SPDX-License-Identifier: MIT
# A host never touches more memory than the machine that simulates has: what it cannot have is
# refused, and a populate gives fewer pages. What that machine has is a file here.
. "$E2E/lib.sh"
has() {
    echo "MemAvailable: $(($1 * 1024)) kB" >meminfo
}
# Before a command: where the machine has what the file says.
poor=(unshare -m sh -c 'mount --bind "$0" /proc/meminfo && exec "$@"' "$T/meminfo")
has 1256
"${poor[@]}" grep -q 1286144 /proc/meminfo 2>said || skip "cannot mount a file over /proc/meminfo: $(cat said)"
# 2^26 frames, 24 bytes each: frame table, M2P and compat M2P.
must_say "needs 1537 MiB at once for its tables, this machine has 1000 MiB to give" \
    "${poor[@]}" "$X" host a --mem 256G
must_say "needs 1027 MiB at once with --prealloc" "${poor[@]}" "$X" host a --mem 1G --prealloc
[ ! -e h/a ] || fail "a refused host's directory is left"
must "${poor[@]}" "$X" host a --mem 2G
must_say "it wants 3072 MiB, 20" "$X" create a --memory 3G
must_say "wants 1024 MiB, the machine that simulates host a has 1000 MiB to give" \
    "$X" create a --memory 1G

id=$("$X" create-empty a pvh 1 1048576)
# populated PFN COUNT: how many of so many pages it gives from there on.
populated() {
    must "$X" run a -- "$B/e2e/poke" "$id" populate "$1" "$2"
}
[ "$(populated 0 1000)" -eq 1000 ] || fail "could not populate while there was enough"
has 256 # all of it left to others; only what the host asked for before counts
given=$(populated 1000 30000)
[ "$given" -gt 0 ] && [ "$given" -le 16384 ] || fail "populated $given pages of 30000"
[ "$(populated 40000 1000)" -eq 0 ] || fail "populated more where nothing is left"
has 1256
[ "$(populated 40000 30000)" -eq 30000 ] || fail "does not populate when there is memory again"
