#!/bin/bash
# SPDX-License-Identifier: MIT
# A chain of ten, of a guest that remaps, forks and balloons: restored in random order, each is the guest
# as it was; the last one is what a full file says. A guest that stands still has no more to say.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files
guest a g --type pv --memory 32M --dirty 500 --remap 300 --fork 30 --balloon 200
filed --checkpoint files/g.01 g --compact
for i in 02 03 04 05 06 07 08 09 10; do
    filed --checkpoint files/g.$i g --compact --parent "files/$(ls files | tail -n 1)"
done
lives g
must "$X" destroy a g
chain=$(ls -r files/g.*)
for file in $(ls files | shuf); do
    filed --restore "files/$file" --disks-as-they-are
    lives g
    must "$X" destroy a g
    must "$B/xmigrate" --flatten flat files/$file 2>said
    must "$B/xmigrate" --export stock files/$file 2>said
    [ "$(must python3 "$E2E/compact_decode.py" digest $(sed -n "/$file/,\$p" <<<"$chain"))" = \
        "$(must python3 "$E2E/compact_decode.py" digest flat)" ] || fail "$file: the flat one is another"
    [ "$(must python3 "$E2E/compact_decode.py" digest flat)" = \
        "$(must python3 "$E2E/compact_decode.py" digest stock)" ] || fail "$file: the stock one is another"
done
no_record

# Parents elsewhere, and one that is not there.
mkdir elsewhere
mv files/g.09 files/g.04 elsewhere
file_refused 2 'g.09 is not there, and files/g.10 needs it' --restore files/g.10
filed --restore files/g.10 --disks-as-they-are --parent elsewhere/g.04 --parent elsewhere/g.09 --parent files/g.08
lives g
must "$X" destroy a g

# One that does not write but for its start-up: the second says little, and what it holds is the same.
guest a quiet --type pvh --memory 32M --dirty 0
filed --checkpoint files/q.1 quiet --compact
filed --checkpoint files/q.2 quiet --compact --parent files/q.1
filed --checkpoint files/q.full quiet --compact
[ $(($(stat -c %s files/q.2) * 10)) -lt "$(stat -c %s files/q.1)" ] || fail "it has $(stat -c %s files/q.2) bytes"
# But for what a suspend itself leaves in its memory.
must python3 "$E2E/compact_decode.py" frames files/q.2 files/q.1 >chained
must python3 "$E2E/compact_decode.py" frames files/q.full >full
[ "$(wc -l <chained)" -eq "$(wc -l <full)" ] && [ "$(wc -l <full)" -gt 8000 ] || fail "there are $(wc -l chained full)"
other=$(diff chained full | grep -c '^<')
[ "$other" -le 16 ] || fail "of the second one $other frames are not what a full one says"
echo "frames that a suspend changed: $other of $(wc -l <full)"
must "$X" destroy a quiet
