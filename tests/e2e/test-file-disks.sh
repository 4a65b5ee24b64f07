#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest that knows the version of its disk is checkpointed five times, with a hook that copies the disk
# while it stands still: each file fits its copy, and none of them the disk that the guest has written
# to since, which shows that the test can tell.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files
export T

for kind in pvh 'pv --remap 300'; do
    read -ra words <<<"$kind"
    rm -f disk copy.*
    truncate -s 1M disk
    guest a g --type "${words[@]}" --memory 24M --disk qdisk:"$T/disk" --versioned-disk
    for i in 1 2 3 4 5; do
        sleep 0.2
        filed --checkpoint files/g.$i g --while-suspended "cd $T && cp --reflink=auto disk copy.$i"
        lives g
    done
    # Another guest that had the disk at once would spoil it.
    must "$X" destroy a g
    for i in 5 1 3; do
        filed --restore files/g.$i --disk xvda="$T/copy.$i"
        lives g
        must "$X" destroy a g
    done
    file_refused 2 'wrote to its disk xvda' --restore files/g.5
    filed --restore files/g.5 --disks-as-they-are
    sleep 0.3
    ! "$X" verify a g >said || fail "$kind: a disk that is newer than its memory is not noticed"
    grep -q 'its disk holds version' said || fail "$kind: it is noticed by something else: $(cat said)"
    must "$X" destroy a g
    # A save's disk is as it was left.
    rm -f disk
    truncate -s 1M disk
    guest a g --type "${words[@]}" --memory 24M --disk qdisk:"$T/disk" --versioned-disk
    sleep 0.2
    filed --save files/g g
    filed --restore files/g
    lives g
    must "$X" destroy a g
    rm files/*
    echo "$kind"
done
