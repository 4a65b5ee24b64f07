#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests that remap, fork and balloon are checkpointed again and again, FILE_CHECKPOINTS times each (5);
# every file is restored, beside the guest, and verified. Without shadow paging a PV guest is copied to
# memory while it stands still, if there is memory, or saved, suspended first.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files
busy=(--memory 32M --dirty 3000 --balloon 300)

# many HOW OPTION...: a guest with these is checkpointed, as the line about its start says, and all files
# are restored.
many() {
    local how=$1 domid file i
    shift
    guest a g --type "$@" "${busy[@]}"
    domid=$("$X" id a g)
    for ((i = 1; i <= ${FILE_CHECKPOINTS:-5}; i++)); do
        filed --checkpoint files/g.$i g
        grep -q "$how" said || fail "it said: $(cat said)"
        lives g
    done
    filed --checkpoint files/g.o g --offline
    grep -q 'suspended first' said || fail "it said: $(cat said)"
    lives g
    [ "$("$X" id a g)" = "$domid" ] || fail "$*: another domain has its name"
    for file in files/*; do
        filed --restore "$file" --clone --name h
        lives h
        must "$X" destroy a h
        rm "$file"
    done
    must "$X" destroy a g
    no_record
    echo "$*: $how"
}

many 'to .*files/g.[0-9]*$' pvh
for host in '' --no-shadow; do
    how='to .*files/g.[0-9]*$'
    if [ -n "$host" ]; then
        "$X" stop a >/dev/null 2>&1
        file_host $host
        how='by a copy in memory'
    fi
    many "$how" pv --p2m list --remap 500 --fork 50
    many "$how" pv --p2m tree --remap 500 --fork 50
    many "$how" pv32 --remap 500 --fork 50
done

# Too little memory: refused, with both numbers, and nothing is done.
guest a g --type pv --memory 32M --remap 500
printf 'MemTotal: 9000 kB\nMemAvailable: 8192 kB\n' >meminfo
said=$(unshare -m sh -c 'mount --bind meminfo /proc/meminfo && exec "$@"' sh \
    env XMIGRATE_RUN_DIR="$T/run-a" "$X" run a -- "$B/xmigrate" --checkpoint files/g g 2>&1)
[ $? -eq 2 ] || fail "it ended with $?, not 2: $said"
case $said in *' MiB of this'*'8.00 MiB is free'*) ;; *) fail "it said: $said" ;; esac
lives g
[ -z "$(ls -A files)" ] || fail "in the directory is: $(ls -A files)"
no_record
filed --save files/g g
grep -q 'suspended first' said || fail "it said: $(cat said)"
is_gone a g
filed --restore files/g
lives g
