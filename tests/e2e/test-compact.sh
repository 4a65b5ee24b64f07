#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest of each type is written to a compact file and lives on; an incremental one follows, is restored,
# exported for stock xl and flattened; a decoder that knows nothing but docs/file.md finds the same memory in
# all of them. The same encrypted.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
needs_stock
file_host
mkdir files
head -c 40 /dev/urandom >key

digest() {
    must python3 "$E2E/compact_decode.py" digest "$@"
}

for type in pvh pv pv32 hvm; do
    options=()
    case $type in pv*) options=(--remap 300 --fork 20) ;; esac
    guest a g --type $type --memory 32M ${options[@]+"${options[@]}"}
    domid=$("$X" id a g)
    encrypt=() with_key=()
    case $type in pv | hvm) encrypt=(--encrypt key) with_key=(--key key) ;; esac

    filed --checkpoint files/g.1 g --compact ${encrypt[@]+"${encrypt[@]}"}
    grep -q 'g is in .*files/g.1, and runs on' said || fail "it said: $(cat said)"
    [ "$("$X" id a g)" = "$domid" ] || fail "another domain has its name"
    lives g
    has_monitor g || fail "$type: nobody monitors it"
    [ "$(stat -c %a files/g.1)" = 600 ] || fail "it has the mode $(stat -c %a files/g.1)"
    filed --checkpoint files/g.2 g --compact --parent files/g.1 ${encrypt[@]+"${encrypt[@]}"}
    lives g
    nothing_left g.1 g.2
    must "$B/xmigrate" --inspect files/g.2 ${with_key[@]+"${with_key[@]}"} >said
    grep -q '^files/g.2: checkpoint, of xmigrate' said && grep -q 'incremental, on files/g.1' said &&
        grep -q '  whole' said || fail "of what is in it: $(cat said)"

    must "$B/xmigrate" --export files/g.xl files/g.2 ${with_key[@]+"${with_key[@]}"} 2>said
    must "$B/xmigrate" --flatten files/g.flat files/g.2 ${with_key[@]+"${with_key[@]}"} 2>said
    verify_stream xl files/g.xl
    must "$B/xmigrate" --inspect files/g.xl | grep -q '^files/g.xl: checkpoint, of xmigrate' || fail "the exported one"
    same=$(digest files/g.xl)
    [ "$(digest files/g.2 files/g.1 ${with_key[@]+"${with_key[@]}"})" = "$same" ] || fail "$type: the chain is another"
    [ "$(digest files/g.flat ${with_key[@]+"${with_key[@]}"})" = "$same" ] || fail "$type: the flat one is another"

    # Beside the guest, and in its place.
    file_refused 2 'has its UUID' --restore files/g.2 --name h ${with_key[@]+"${with_key[@]}"}
    filed --restore files/g.2 --name h --clone ${with_key[@]+"${with_key[@]}"}
    lives h
    must "$X" destroy a h
    filed --checkpoint files/g.3 g --compact --parent files/g.2 --resume-as revive ${encrypt[@]+"${encrypt[@]}"} --compress lz4
    lives g
    filed --save files/g.4 g --compact --parent files/g.3 ${encrypt[@]+"${encrypt[@]}"} --compress none
    is_gone a g
    filed --restore files/g.4 ${with_key[@]+"${with_key[@]}"}
    lives g
    has_monitor g || fail "$type: nobody monitors it"
    must "$X" destroy a g
    LIBXL_SAVE_HELPER=$STOCK on a "$XL" restore -e files/g.xl 2>xl.err ||
        fail "xl restore failed: $(tail -n 3 xl.err)"
    lives g
    must "$X" destroy a g
    nothing_left g.1 g.2 g.3 g.4 g.xl g.flat
    if [ ${#with_key[@]} -gt 0 ]; then
        file_refused 2 '--key KEYFILE is wanted: files/g.2 is encrypted' --restore files/g.2
        head -c 40 /dev/urandom >other
        file_refused 2 'was encrypted with another key' --restore files/g.2 --key other
    else
        file_refused 2 'is not encrypted, and a key was given' --restore files/g.2 --key key
    fi
    rm files/*
    echo "$type"
done
