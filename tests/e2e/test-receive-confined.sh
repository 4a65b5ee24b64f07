#!/bin/bash
# SPDX-License-Identifier: MIT
# What strangers can reach has nothing to lose: the acceptor, and the relay of a move for as long as
# that lasts, are no longer root, see an empty directory, have no capabilities and few system calls.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts

# is PID FIELD VALUE...: as /proc/PID/status has it.
is() {
    local got
    got=$(awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status")
    [ "$got" = "$3" ] || fail "$(cat "/proc/$1/comm"): $2 is '$got', not '$3'"
}

confined() { # PID
    local field
    is "$1" Uid "$(id -u _xmigrate)"
    is "$1" Gid "$(id -g _xmigrate)"
    for field in CapInh CapPrm CapEff CapBnd CapAmb; do is "$1" $field 0000000000000000; done
    is "$1" NoNewPrivs 1
    [ -n "$SAN" ] || is "$1" Seccomp 2
    [ "$(readlink "/proc/$1/root")" = "$T/run-b/empty" ] ||
        fail "its root is $(readlink "/proc/$1/root")"
    ! grep -q ' /' <(ls -l "/proc/$1/fd" | awk '{ print $9, $11 }' | grep -v -e '^[012] ' -e /dev/) ||
        fail "it has files open: $(ls -l "/proc/$1/fd")"
}

the() { # COMM: the listener's child of that name
    pgrep -x -P "$listener" "$1" || fail "there is no $1"
}

listen b
guest a g --type pvh --memory 64M
confined "$(the xmigrate-accept)"
moving a g --bandwidth 100M
confined "$(the xmigrate-relay)"
is "$(the xmigrate)" Uid 0
is "$listener" Uid 0
# A relay that dies takes the connection with it, and no more.
kill -KILL "$(the xmigrate-relay)"
ended 3
untouched a b g
move a g
moved a b g
wait_for 20 eval '! pgrep -x -P $listener xmigrate-relay'
kill "$listener"
ends "$listener" 10 || fail "the listener did not end"

# With --as-root it is all as it was.
listen b --as-root
is "$(the xmigrate-accept)" Uid 0
is "$(the xmigrate-accept)" NoNewPrivs 0

# Without the user nobody listens.
grep -v ^_xmigrate: /etc/passwd >passwd
xmigrate_on a --listen 127.0.0.1:0
said=$(unshare --mount sh -c 'mount --bind passwd /etc/passwd && exec "$@"' - "${command[@]}" 2>&1)
[ $? -eq 2 ] || fail "listens without the user: $said"
case $said in *'there is no user _xmigrate'*--as-root*) ;; *) fail "said: $said" ;; esac
