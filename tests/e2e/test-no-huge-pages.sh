#!/bin/bash
# SPDX-License-Identifier: MIT
# Without permission to mount a tmpfs the host says so, and what it costs, and works all the same.
. "$E2E/lib.sh"
. "$E2E/move.sh"
unprivileged() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"
    else
        "$@"
    fi
}
must unprivileged "$X" host a --mem 256M 2>said
[ "$(wc -l <said)" -eq 1 ] || fail "not one line: $(cat said)"
grep -q 'cannot mount a tmpfs.*4 KiB pages.*2 to 4 times dearer' said || fail "said $(cat said)"
"$X" info a | grep -q '4 KiB pages' || fail "info: $("$X" info a)"
host b --mem 256M
mkdir -m 700 "$T/run-a" "$T/run-b"
trust a b
trust b a
listen b
guest a g --type pv --memory 64M
move a g
moved a b g
