#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest of each type is written to a file and lives on, is built again from that, is saved and
# restored; and stock xl reads what we wrote, and we read what it wrote.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
needs_stock
file_host
mkdir files

for type in pvh pv pv32 hvm; do
    options=()
    case $type in pv*) options=(--remap 300 --fork 20) ;; esac
    guest a g --type $type --memory 32M ${options[@]+"${options[@]}"}
    domid=$("$X" id a g)
    filed --checkpoint files/g.1 g
    grep -q 'g is in .*files/g.1, and runs on' said || fail "it said: $(cat said)"
    [ "$("$X" id a g)" = "$domid" ] || fail "another domain has its name"
    [ $type != hvm ] || "$X" dm a g | grep -qx 'running, log-dirty off' ||
        fail "its device model: $("$X" dm a g)"
    lives g
    has_monitor g || fail "$type: nobody monitors it"
    [ "$(stat -c %a files/g.1)" = 600 ] || fail "it has the mode $(stat -c %a files/g.1)"
    nothing_left g.1
    verify_stream xl files/g.1
    must "$B/xmigrate" --inspect files/g.1 >said
    grep -q '^files/g.1: checkpoint, of xmigrate' said && grep -q '  whole' said ||
        fail "of what is in it: $(cat said)"

    # Once more, over the old one; and another guest of it, beside the first.
    filed --checkpoint files/g.1 g
    nothing_left g.1
    file_refused 2 'has its UUID' --restore files/g.1 --name h
    filed --restore files/g.1 --name h --clone --paused
    state_is a h paused
    whole a h
    must "$X" unpause a h
    lives h
    must "$X" destroy a h
    nothing_left g.1

    # A kernel that cannot run on is built again from the file.
    filed --checkpoint files/g.1 g --resume-as revive --json
    grep -q '"event":"restored"' said &&
        [ "$(grep -o '"migration":"[0-9a-f]\{32\}"' said | sort -u | wc -l)" -eq 1 ] ||
        fail "its events have not one id: $(cat said)"
    [ "$("$X" id a g)" != "$domid" ] || fail "it is the same domain"
    lives g
    has_monitor g || fail "$type: nobody monitors it"
    must "$B/xmigrate" --inspect files/g.1 | grep -q ': checkpoint,' || fail "it is no checkpoint"
    nothing_left g.1

    filed --save files/g.2 g
    is_gone a g
    nothing_left g.1 g.2
    verify_stream xl files/g.2
    filed --restore files/g.2
    lives g
    has_monitor g || fail "$type: nobody monitors it"

    # xl save's, and ours by xl restore.
    LIBXL_SAVE_HELPER=$STOCK must on a "$XL" save g files/g.3 2>xl.err
    is_gone a g
    must "$B/xmigrate" --inspect files/g.3 | grep -q '^files/g.3: save, of xl,' || fail "of xl's: nothing"
    filed --restore files/g.3
    lives g
    filed --checkpoint files/g.4 g
    must "$X" destroy a g
    LIBXL_SAVE_HELPER=$STOCK on a "$XL" restore -e files/g.4 2>xl.err ||
        fail "xl restore failed: $(tail -n 3 xl.err)"
    lives g
    must "$X" destroy a g
    nothing_left g.1 g.2 g.3 g.4
    rm files/*
    echo "$type"
done
