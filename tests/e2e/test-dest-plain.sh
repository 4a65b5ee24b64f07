#!/bin/bash
# SPDX-License-Identifier: MIT
# Our helper restores what the stock one saved, live and while the guest writes; a bad stream is one
# line, and nothing half built stays.
# deadline: 300
. "$E2E/lib.sh"
needs_stock
ours=$B/xmigrate-save-helper
host a
host b --fragment 30
for type in pvh pv pv32; do
    guest a g --type $type --dirty 8000 --content zero=25,text=50,random=25
    sleep 0.3
    must "$X" save a g image-$type --live --helper "$STOCK"
    must "$X" restore b image-$type --helper "$ours"
    sleep 0.2
    whole b g
    must "$X" destroy b g
done

# refused IMAGE WORDS
refused() {
    must_say "$2" "$X" restore b "$1" --helper "$ours"
    [ "$("$X" list b | wc -l)" -eq 1 ] || fail "$1: a half-built guest stays"
}
for type in pvh pv; do
    size=$(stat -c %s image-$type)
    for part in 10 40 $((size / 2)) $((size - 4)); do
        head -c $part image-$type >cut
        cp image-$type.xensim cut.xensim
        refused cut ""
    done
    head -c $((size / 2)) image-$type >cut
    refused cut "cut short"
done

# libxl hears of the failure, and not of each buffer that libxencall ever had.
! "$X" restore b cut --helper "$ours" --verbose >said 2>&1 || fail "half an image was restored"
grep -q "cut short" said || fail "the reason is not said: $(cat said)"
! grep xencall said || fail "lines that nobody wants are sent to libxl"

# Version 2 has no policies and no mark before the pages.
for type in pvh pv pv32; do
    python3 "$E2E/restream.py" v2 image-$type two
    cp image-$type.xensim two.xensim
    must "$X" restore b two --helper "$ours"
    whole b g
    must "$X" destroy b g
done

# A parameter that is none of a source's business: CALLBACK_IRQ, the event channels of store,
# console and buffered requests, DM_DOMAIN, ALTP2M, and one that nobody knows.
for index in 0 2 18 26 13 35 77; do
    python3 "$E2E/restream.py" param=$index image-pvh param
    cp image-pvh.xensim param.xensim
    refused param "parameter $index does not move with a guest"
done
python3 "$E2E/restream.py" param=4 image-pvh param # PAE_ENABLED, of old sources
must "$X" restore b param --helper "$ours"
whole b g
must "$X" destroy b g

# Pages sent again to be compared are not written, and a difference is counted.
for type in pvh pv; do
    guest a g --type $type --dirty 4000
    sleep 0.3
    must "$X" save a g again --live --debug --helper "$STOCK"
    must "$X" restore b again --helper "$ours" --verbose 2>said
    grep -q "verified: 0 pages differ" said || fail "$type: $(grep verified said)"
    must "$X" destroy b g
    python3 "$E2E/restream.py" differ again again-differs
    cp again.xensim again-differs.xensim
    must "$X" restore b again-differs --helper "$ours" --verbose 2>said
    grep -q "verified: 1 pages differ" said || fail "$type: $(grep verified said)"
    whole b g
    must "$X" destroy b g
done

# A PV stream for a PVH domain.
cp image-pv mixed
cp image-pvh.xensim mixed.xensim
refused mixed "of a PV guest, domain"
must "$X" restore b image-pvh --helper "$ours"
whole b g
