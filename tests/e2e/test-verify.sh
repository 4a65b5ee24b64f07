#!/bin/bash
# SPDX-License-Identifier: MIT
# verify finds and names a stale page, a lost one, a foreign one, a stale table entry beside its
# page, a P2M entry that is wrong, a page-table entry that is not what the guest wrote, and a vCPU's
# state that is not its own.
. "$E2E/lib.sh"
host a
poke() {
    must "$X" run a -- "$B/e2e/poke" "$@"
}
found() {
    local said
    said=$("$X" verify a "$1" 2>&1) && fail "verify found nothing: $said"
    case $said in *"$2"*) ;; *) fail "verify said '$said', not '$2'" ;; esac
}
# rewritten GFN OLD NEW: let the guest run until the page differs from what OLD holds.
rewritten() {
    local i
    for i in $(seq 100); do
        "$X" rate a g max
        sleep 0.2
        "$X" rate a g 0
        sleep 0.1
        poke 1 read "$1" "$3"
        cmp -s "$2" "$3" || return
    done
    fail "the guest did not write page $1"
}
guest a g --type pvh --dirty 0 --content text=50,random=50
poke 1 read 0x1000 page
rewritten 0x1000 page new
whole a g
poke 1 write 0x1000 page
found g "pfn 0x1000: stale: holds version 1, the guest wrote"
head -c 4096 /dev/zero >zero
poke 1 write 0x1000 zero
found g "pfn 0x1000: zero"
head -c 4096 /dev/zero | tr '\0' '\302' >poison
poke 1 write 0x1000 poison
found g "pfn 0x1000: lost"
poke 1 read 0x1001 other
poke 1 write 0x1000 other
found g "pfn 0x1000: not what the guest wrote"
poke 1 write 0x1000 new
whole a g

# A page that went back together with its entry in the version table: pfn 7 holds the versions of
# the first 1024 pages.
poke 1 read 7 table
poke 1 read 0x300 page
rewritten 0x300 page page2
poke 1 read 7 table2
entry=$((0x300 * 4))
{ head -c $entry table2; tail -c +$((entry + 1)) table | head -c 4; tail -c +$((entry + 5)) table2; } >mixed
poke 1 write 7 mixed
poke 1 write 0x300 page
found g "stale together with its version"
poke 1 write 7 table2
poke 1 write 0x300 page2
whole a g

poke 1 flip-lapic || fail "cannot change a vCPU's state"
found g "vCPU 0: its LAPIC's registers are not the guest's"
poke 1 flip-lapic || fail "cannot change a vCPU's state"
whole a g

# Many of them: a line each as far as 16, the rest is counted, and the last line has the sum.
head -c 4096 /dev/zero >zero
for n in $(seq 20); do
    poke 1 write $((0x1000 + n)) zero
done
"$X" verify a g >report 2>said
code=$?
[ $code -eq 2 ] || fail "verify ended with $code"
for n in $(seq 16); do
    grep -qx "$(printf 'pfn %#x: zero (the guest wrote version [0-9]*)' $((0x1000 + n)))" report ||
        fail "page $n is not in the report: $(cat report)"
done
[ "$(sed -n '17,$p' report)" = "and 4 more" ] || fail "the report ends '$(tail -n 2 report)'"
grep -qx 'xensim: domain g: 20 problems in [0-9]* pages' said || fail "verify said '$(cat said)'"

# PV: the P2M's first leaf, whose entries the guest uses; and a frame of somebody else.
guest a p --type pv --dirty 0
leaf=$("$X" run a -- "$B/e2e/poke" 2 frame 7)
poke 2 read "$leaf" leaf
head -c 2048 leaf >bad
head -c 8 leaf >>bad
tail -c +2057 leaf >>bad
poke 2 write "$leaf" bad
found p "pfn 0x100: no memory there"
poke 2 write "$leaf" leaf
whole a p

# Nobody can write into a page table behind Xen's back. What the guest wrote into its window stands
# beside it: only the entry of its shared info, the last one.
{ head -c 4088 /dev/zero; head -c 8 /dev/zero | tr '\0' '\377'; } >wrote
wrote=$(poke 2 find wrote) || fail "the guest does not remember its window"
{ printf '\1\20'; tail -c +3 wrote; } >other
poke 2 write "$wrote" other
found p " is 0 (pfn 0xffffffffffffffff), the guest wrote 0x"
"$X" verify a p 2>&1 |
    grep -qx 'L1 entry for 0x[0-9a-f]* is 0 (pfn .*), the guest wrote 0x[0-9a-f]*001' ||
    fail "verify said '$("$X" verify a p 2>&1)'"
poke 2 write "$wrote" wrote
whole a p
