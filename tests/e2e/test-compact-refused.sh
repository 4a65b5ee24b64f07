#!/bin/bash
# SPDX-License-Identifier: MIT
# Compact files that are damaged, parents that are missing, swapped or of another guest, options that
# contradict each other: one line, and nothing is built or replaced.
# deadline: 400
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files
head -c 40 /dev/urandom >key
guest a g --type pvh --memory 16M
guest a h --type pvh --memory 16M
filed --checkpoint files/g.1 g --compact
filed --checkpoint files/g.2 g --compact --parent files/g.1
filed --checkpoint files/h.1 h --compact
filed --checkpoint files/stock g

# Options.
file_refused 1 '--parent goes with --compact' --checkpoint files/x g --parent files/g.1
file_refused 1 '--encrypt goes with --compact' --checkpoint files/x g --encrypt key
file_refused 1 '--compress goes with --compact' --checkpoint files/x g --compress none
file_refused 1 'cannot be done at once' --checkpoint files/x g --compact --parent files/g.1 --every 1s
file_refused 1 'wants a new FILE' --export files/x
file_refused 2 'is not a compact file' --export files/x files/stock
file_refused 2 'is not a compact file' --restore files/stock --key key

# Parents.
file_refused 2 'is of another guest' --checkpoint files/x g --compact --parent files/h.1
file_refused 2 'does not begin as a compact file' --checkpoint files/x g --compact --parent files/stock
file_refused 2 'No such file' --checkpoint files/x g --compact --parent files/none
file_refused 2 'is needed by others' --checkpoint files/g.1 g --compact --parent files/g.2 --force
file_refused 2 'is needed by others' --flatten files/g.1 files/g.2
file_refused 2 'holds another guest' --export files/h.1 files/g.2
file_refused 2 'holds another guest' --checkpoint files/h.1 g --compact
file_refused 2 'is not encrypted, and a key' --checkpoint files/x g --compact --parent files/g.1 --encrypt key
file_refused 2 'is needed by g.2 beside it' --checkpoint files/g.1 g --compact
file_refused 2 'is needed by g.2 beside it' --save files/g.1 g
file_refused 2 'is needed by g.2 beside it' --flatten files/g.1 files/g.1
# A page that a parent has is not written again: a parent that is damaged is no parent, and the guest stays.
cp files/g.1 kept
printf '\x5a\xa5' | dd of=files/g.1 bs=1 seek=700 conv=notrunc status=none
for kind in checkpoint save; do
    file_refused 2 "g.1: at byte 512: a chunk's checksum is not right" --$kind files/x g --compact --parent files/g.2
    file_refused 2 "g.1: at byte 512: a chunk's checksum is not right" --$kind files/x g --compact --parent files/g.1
    lives g
done
rm files/g.1
file_refused 2 'g.1 is not there, and files/g.2 needs it' --restore files/g.2
cp files/h.1 files/g.1
file_refused 2 'g.1 is not the parent of files/g.2' --restore files/g.2
file_refused 2 'g.1 is not the parent of files/g.2' --inspect files/g.2
cp files/g.2 files/g.1
file_refused 2 'g.1 is not the parent of files/g.2' --restore files/g.2
mv kept files/g.1

# Keys.
: >empty
file_refused 2 'is no key file' --checkpoint files/x g --compact --encrypt empty
file_refused 2 'No such file' --checkpoint files/x g --compact --encrypt none
[ "$(ls files | tr '\n' ' ')" = 'g.1 g.2 h.1 stock ' ] || fail "there is $(ls -A files)"

filed --checkpoint files/secret g --compact --encrypt key
file_refused 2 'files/secret is encrypted, and no key was given): give another name' --checkpoint files/secret g
file_refused 2 '--encrypt KEYFILE is wanted: files/secret is encrypted, and no key was given' --checkpoint files/x g --compact --parent files/secret
file_refused 2 '--key KEYFILE is wanted: files/secret is encrypted, and no key was given' --restore files/secret
rm files/secret

# Damage: at every border and at places between.
must "$X" destroy a g
size=$(stat -c %s files/g.1)
# damage AT CODE CUT FLIPPED: what is said of a file that ends there, and of one with another byte there, to
# restore which ends with that code.
damage() {
    head -c "$1" files/g.1 >cut
    file_refused 2 "cut: at byte" --restore cut
    file_refused 2 "$3" --restore cut
    file_refused 2 "$3" --inspect cut
    for byte in '\x5a' '\xa5'; do
        cp files/g.1 flipped
        printf "$byte" | dd of=flipped bs=1 seek="$1" conv=notrunc status=none
        cmp -s flipped files/g.1 || break
    done
    "$B/xmigrate" --inspect flipped >said 2>err && fail "flipped at $1 it is whole: $(cat said)"
    grep -qF "$4" err || fail "flipped at $1 it said: $(cat err)"
    [ "$(wc -l <err)" -eq 1 ] || fail "it said more than one line: $(cat err)"
    file_refused "$2" "$4" --restore flipped --disks-as-they-are -q
    no_record
    [ "$("$X" list a | grep -c MiB)" -eq 1 ] || fail "something was built: $("$X" list a)"
}
damage 0 2 'the file ends in the middle' 'at byte 0: it does not begin as a file of xl save does'
damage 511 2 'at byte 0: the file ends in the middle' "at byte 0: its header's checksum is not right"
damage 512 3 'at byte 512: the file ends in the middle' "flipped: at byte 512: a chunk's checksum is not right"
damage $((size / 2)) 3 'it does not end as a compact file does' "a chunk's checksum is not right"
damage $((size - 513)) 2 'it does not end as a compact file does' 'the checksum of section NOTE is not right'
damage $((size - 512)) 2 'it does not end as a compact file does' 'it does not end as a compact file does'
damage $((size - 1)) 2 'it does not end as a compact file does' 'its footer does not authenticate it'
must "$B/xmigrate" --inspect files/g.1 --json >said
python3 - <<'END_PYTHON' || fail "it says: $(cat said)"
import json
o = json.load(open("said"))
assert o["whole"] and o["compact"]["depth"] == 0 and not o["compact"]["encrypted"], o
END_PYTHON
"$B/xmigrate" --inspect flipped --json >said 2>err && fail "a damaged one is whole: $(cat said)"
grep -q '"file_bytes":'$size, said || fail "it says: $(cat said)"
grep -q '"whole":false' said && grep -q '"damage_at":[1-9]' said || fail "it says: $(cat said)"
no_record
filed --restore files/g.2 --disks-as-they-are
lives g

# A disk that is full while pages are written, and one that is full when the index is, with the guest running
# already: the old file stays.
cp files/g.2 old
(trap '' XFSZ; ulimit -f 2000; xf --checkpoint files/g.2.new g --compact --compress none) >said 2>&1
[ $? -eq 3 ] || fail "with too little room: $(cat said)"
grep -q '"g" runs on: .*File too large' said || fail "it said: $(cat said)"
lives g
[ ! -e files/g.2.new ] || fail "something has its name"
must "$X" destroy a h
guest a h --type pvh --memory 16M --dirty 0
filed --checkpoint files/h.1 h --compact --compress none
kib=$((($(stat -c %s files/h.1) - 40000) / 1024))
(trap '' XFSZ; ulimit -f $kib; xf --checkpoint files/h.2 h --compact --compress none) >said 2>&1
[ $? -eq 3 ] || fail "with no room for the index: $(cat said)"
grep -q '"h" runs on: .*File too large' said || fail "it said: $(cat said)"
lives h
[ ! -e files/h.2 ] || fail "something has its name"
no_record
cmp -s files/g.2 old || fail "the old file is not what it was"

# A numbered one that others stand on is not deleted.
filed --checkpoint files/n.000001 g --compact
filed --checkpoint files/child g --compact --parent files/n.000001
launch out err on a "$B/xmigrate" --checkpoint files/n g --compact --every 1s --keep 1
wait_for 60 eval '[ -e files/n.000004 ] || ! kill -0 '$launched' 2>/dev/null'
kill -TERM "$(pgrep -P $launched -x xmigrate || echo $launched)"
wait $launched
grep -q 'n.000001 is kept: child beside it stands on it' err || fail "it said: $(tail -n 3 err)"
[ ! -e files/n.000002 ] || fail "the others are not deleted: $(ls -A files)"
must "$B/xmigrate" --inspect files/child >said
lives g
