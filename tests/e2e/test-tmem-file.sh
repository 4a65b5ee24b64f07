#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest of each type that keeps pages in transcendent memory is written to a compact file and lives on;
# restored beside it, and saved and restored in its place, it gets what it put last. The stock format refuses it.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host --tmem
mkdir files
head -c 40 /dev/urandom >key
# decoded FILES OPTION...: a decoder that knows docs/file.md alone finds in them what --inspect does; and so
# does ./decoded.
decoded() {
    local files=$1
    shift
    must python3 "$E2E/compact_decode.py" aux $files "$@" >decoded
    must "$B/xmigrate" --inspect ${files%% *} --json "$@" >said
    python3 - <<'END' || fail "--inspect says $(cat said), and there is $(cat decoded)"
import json
(found,) = json.load(open('decoded'))
(said,) = json.load(open('said'))['auxiliary']
assert said == {key: found[key] for key in said}, said
assert said['source'] == 'tmem' and not said['optional'], said
# Of 2 MiB a few pages are flushed.
assert 300 < said['entries'] <= 512 and said['bytes'] == said['entries'] * 4096, said
END
    must "$B/xmigrate" --inspect ${files%% *} "$@" | grep -q '^  auxiliary tmem, 1\.[0-9]* MiB in [0-9]* entries$' ||
        fail "--inspect says nothing of it"
}
for type in pvh pv pv32 hvm; do
    guest a g --type $type --memory 16M --tmem 2M --tmem-rate 1000
    encrypt=() with_key=()
    case $type in pv | hvm) encrypt=(--encrypt key) with_key=(--key key) ;; esac
    if [ $type = pvh ]; then
        file_refused 2 'use --compact' --checkpoint files/g.xl g --quiet
        [ -z "$(ls -A files)" ] || fail "left: $(ls -A files)"
        no_record
        lives g
    fi
    filed --checkpoint files/g.1 g --compact ${encrypt[@]+"${encrypt[@]}"}
    lives g
    filed --checkpoint files/g.2 g --compact --parent files/g.1 ${encrypt[@]+"${encrypt[@]}"}
    lives g
    filed --restore files/g.2 --name h --clone ${with_key[@]+"${with_key[@]}"}
    lives h
    must "$X" destroy a h
    if [ $type = pvh ]; then
        file_refused 2 'holds auxiliary data (tmem)' --export files/g.xl files/g.2 --quiet
        nothing_left g.1 g.2
    fi
    if [ $type = pv ]; then
        must "$B/xmigrate" --flatten files/g.flat files/g.2 --key key 2>said
        decoded "files/g.2 files/g.1" --key key
        cp decoded chain
        decoded files/g.flat --key key
        cmp decoded chain || fail "the flat file has other data: $(cat decoded chain)"
    fi
    filed --save files/g.3 g --compact --parent files/g.2 ${encrypt[@]+"${encrypt[@]}"}
    is_gone a g
    filed --restore files/g.3 ${with_key[@]+"${with_key[@]}"}
    lives g
    must "$X" destroy a g
    if [ $type = pv ]; then
        filed --restore files/g.flat --key key
        lives g
        must "$X" destroy a g
    fi
    rm files/g.*
done
