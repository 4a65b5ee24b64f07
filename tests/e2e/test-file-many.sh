#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests that remap, fork and balloon are checkpointed again and again, FILE_CHECKPOINTS times each (5);
# every file is restored, beside the guest, and verified. Without shadow paging a PV guest is only
# saved, suspended first.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files
busy=(--memory 32M --dirty 3000 --balloon 300)
for kind in 'pv --p2m list --remap 500 --fork 50' 'pv --p2m tree --remap 500 --fork 50' \
    'pv32 --remap 500 --fork 50' pvh; do
    read -ra words <<<"$kind"
    guest a g --type "${words[@]}" "${busy[@]}"
    domid=$("$X" id a g)
    for ((i = 1; i <= ${FILE_CHECKPOINTS:-5}; i++)); do
        filed --checkpoint files/g.$i g
        lives g
    done
    [ "$("$X" id a g)" = "$domid" ] || fail "$kind: another domain has its name"
    for file in files/*; do
        filed --restore "$file" --clone --name h
        lives h
        must "$X" destroy a h
        rm "$file"
    done
    must "$X" destroy a g
    no_record
    echo "$kind"
done

"$X" stop a >/dev/null 2>&1
host b --no-shadow
guest b g --type pv --memory 32M --remap 500
on b "$B/xmigrate" --checkpoint files/g g >said 2>&1
[ $? -eq 2 ] && grep -q 'no shadow paging' said || fail "without shadow paging: $(cat said)"
on b "$B/xmigrate" --save files/g g >said 2>&1 || fail "without shadow paging: $(cat said)"
grep -q 'suspended first' said || fail "it said: $(cat said)"
is_gone b g
on b "$B/xmigrate" --restore files/g >said 2>&1 || fail "it is not restored: $(cat said)"
state_is b g running
sleep 0.2
whole b g
