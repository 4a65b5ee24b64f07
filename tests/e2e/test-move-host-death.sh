#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon killed under a running xmigrate, at either end: xmigrate ends by itself with one line
# that says so, at both ends, and everything works again when the host is started anew.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
# one_line WORD: that is all that the move said, beside finished rounds.
one_line() {
    grep -v '^round ' moving.err >said
    [ "$(grep -c . said)" -eq 1 ] || fail "said more than one line: $(cat moving.err)"
    grep -q -e "$1" said || fail "said '$(cat said)', not '$1'"
}
# listener_said WORD: the one error line of the listener, beside that it could not clean up either.
listener_said() {
    grep '^xmigrate: error' listen-b.err | grep -v 'error: cannot reach Xen' >said
    [ "$(grep -c . said)" -eq 1 ] || fail "the listener said more than one line: $(cat listen-b.err)"
    grep -q -e "$1" said || fail "the listener said '$(cat said)', not '$1'"
}
# The monitor of a guest that came back ends with its host.
no_monitor() {
    local pid
    for pid in $(pgrep -f 'xmigrate --monitor'); do
        ! grep -qsz "^T=$T$" "/proc/$pid/environ" || return 1
    done
}
for lanes in 1 4; do
    listen b
    guest a g --type pv --memory 256M
    moving a g --bandwidth 100M --lanes $lanes --quiet
    kill -9 "$(cat h/b/pid)"
    ended 3
    # The destination cannot say that its copy is gone, and hangs up: that may be heard first.
    one_line 'xmigrate: error.*Host is down\|xmigrate: error: .*control to .*cut short'
    kill $listener
    wait $listener
    listener_said 'Host is down; removing what came: .*Host is down; run xmigrate --recover'
    host b
    stayed a b g
    listen b
    moving a g --bandwidth 100M --lanes $lanes --quiet
    kill -9 "$(cat h/a/pid)"
    ended 4 # nobody can be asked where the guest is
    one_line 'xmigrate: error: .*Host is down; look with xl list'
    wait_for 20 nothing_on b
    kill $listener
    wait $listener
    listener_said 'Host is down\|cut short'
    wait_for 20 no_monitor
    host a
done
