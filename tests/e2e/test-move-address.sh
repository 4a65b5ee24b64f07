#!/bin/bash
# SPDX-License-Identifier: MIT
# Hosts are named in every way that people name them: IPv6, a name, all addresses of a listener; a
# guest by its number.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
[ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
# to HOST DOM: the guest moves there.
to() {
    guest a g --type pvh --memory 32M
    xm a --live "$1:$port" "$2" >move 2>&1 || fail "$1: $(tail -n 1 move)"
    moved a b g
    must "$X" destroy b g
}
listen_at b '[::1]:0'
to '[::1]' 1
kill $listener
wait $listener
listen_at b :0
to '[::1]' g
to 127.0.0.1 g
to localhost g
