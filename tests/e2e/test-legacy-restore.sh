#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest's file as a Xen before 4.6 would have written it, exported: the guest lives on from there.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files

# lives_on DOMAIN: it runs, and is what it was but for MSRs, of which old streams have none.
lives_on() {
    state_is a "$1" running
    sleep 0.2
    "$X" verify a "$1" >said 2>&1 || ! grep -v -e 'its MSRs are not the guest' -e ' problems in ' said ||
        fail "$type, tools of $tools bits: it is not what it was"
}

for type in pv pv32 hvm; do
    for tools in 32 64; do
        guest a g --type $type --memory 16M
        filed --save files/new g
        is_gone a g
        must python3 "$E2E/legacy_file.py" age files/new files/old tools=$tools
        rm files/new
        filed --inspect files/old
        grep -q "by tools of $tools bits" said || fail "$type: $(cat said)"
        file_refused 2 'is of a Xen before 4.6' --restore files/old
        filed --export files/exported files/old
        filed --restore files/exported
        lives_on g
        must "$X" destroy a g
        nothing_left exported old
        rm files/*
    done
done
