#!/bin/bash
# SPDX-License-Identifier: MIT
# A stream that lies: what a guest of 64 MiB claims to have costs the helper next to nothing, and no
# page table comes to lie over frames that the domain does not own.
# deadline: 200
. "$E2E/lib.sh"
export XMIGRATE_RUN_DIR=$T/run
mkdir -m 700 run
host a
host b --fragment 30
ours=$B/xmigrate-save-helper
printf '#!/bin/sh\nexec "%s" "%s" "%s" "$@"\n' "$B/e2e/peak" "$T/peak" "$ours" >measured
chmod +x measured

guest a g --type pv --memory 64M --content zero=25,text=50,random=25
sleep 0.3
must "$X" save a g image --helper "$ours"
# forged LIE: is in ./forged
forged() {
    must python3 "$E2E/forge.py" "$1" image forged
    cp image.xensim forged.xensim
}
# refused LIE WORDS
refused() {
    rm -f peak
    forged "$1"
    must_say "$2" "$X" restore b forged --helper "$T/measured"
    [ "$("$X" list b | wc -l)" -eq 1 ] || fail "$1: a half-built guest stays"
}
# costs_at_most MIB WHAT: the helper, with all that it is made of.
costs_at_most() {
    local peak
    peak=$(cat peak)
    echo "$2: $peak KiB, $honest KiB without"
    [ -n "$SAN" ] || [ "$peak" -le $((1024 * $1)) ] || fail "$2 cost $peak KiB"
}

must "$X" restore b image --helper "$T/measured"
sleep 0.2
whole b g
must "$X" destroy b g
honest=$(cat peak)
# Holes are real: no reason to refuse it. (What it lied about its p2m is then its own trouble.)
forged claims
must "$X" restore b forged --helper "$T/measured"
costs_at_most 16 '2^32 frames'
must "$X" destroy b g
refused turns 'X86_PV_P2M_FRAMES names more than'
costs_at_most 16 '2^32 frames, at two places in turn'
refused spread 'its maximum here is too small, or the source sends what the guest does not have'
costs_at_most 18 '2^32 frames, each in an extent of its own'

refused beyond 'names a frame beyond the guest'
refused cr3-plain "a vCPU's page table (cr3) is at frame"
refused cr3-none "a vCPU's page table (cr3) is at frame"
refused gdt "a vCPU's GDT is at frame"
refused p2m 'a frame of the p2m is at frame'
refused type 'Xen refused the context of vCPU 0'
refused pin 'Xen refused to pin'
