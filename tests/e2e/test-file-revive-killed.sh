#!/bin/bash
# SPDX-License-Identifier: MIT
# A checkpoint that revives the guest is killed when the guest is in the file and nowhere else, or not
# for certain anywhere else: it runs again by itself.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host
mkdir files
runs() {
    "$X" list a | grep -q ' g .*running'
}
guest a g --type pvh --memory 32M
for call in libxl_domain_destroy libxl_domain_create_restore libxl_domain_rename libxl_domain_unpause; do
    rm -f struck
    FAULT=call:$call:kill FAULT_IN=--checkpoint FAULT_LOG=$T/struck \
        on a "$B/xmigrate" --checkpoint files/g g --resume-as revive >said 2>&1
    [ $? -ge 128 ] && [ -s struck ] || fail "$call: it was not killed: $(cat said)"
    wait_for 30 runs
    [ "$("$X" list a | grep -c MiB)" -eq 1 ] || fail "$call: $("$X" list a)"
    wait_for 20 eval '! ls run-a/*.json >/dev/null 2>&1'
    lives g
    echo "$call: killed, and it runs again"
done
nothing_left g

# One that nobody can read without its key and its parent.
mkdir elsewhere
head -c 40 /dev/urandom >key
filed --checkpoint elsewhere/g.1 g --compact --encrypt key
FAULT=call:libxl_domain_create_restore:kill FAULT_IN=--checkpoint FAULT_LOG=$T/struck \
    on a "$B/xmigrate" --checkpoint files/g.2 g --resume-as revive --compact --encrypt key --parent elsewhere/g.1 >said 2>&1
[ $? -ge 128 ] || fail "it was not killed: $(cat said)"
wait_for 30 runs
wait_for 20 eval '! ls run-a/*.json >/dev/null 2>&1'
lives g
nothing_left g g.2
