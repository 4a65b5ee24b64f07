#!/bin/bash
# Hosts are named in every way that people name them: IPv6, a name, all addresses of a listener; a
# guest by its number.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
[ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
# listen_at ADDRESS: a listener on b; its port in $port.
listen_at() {
    XMIGRATE_RUN_DIR=$T/run-b "$X" run b -- "$B/xmigrate" --config-dir "$T/etc-b" \
        --listen "$1" >listen.out 2>listen.err &
    listener=$!
    echo $listener >>pids
    wait_for 20 grep -q port listen.out
    port=$(sed -n '1s/.* port //p' listen.out)
}
# to HOST DOM: the guest moves there.
to() {
    guest a g --type pvh --memory 32M
    xm a --live "$1:$port" "$2" >move 2>&1 || fail "$1: $(tail -n 1 move)"
    moved a b g
    must "$X" destroy b g
}
listen_at '[::1]:0'
to '[::1]' 1
kill $listener
wait $listener
listen_at :0
to '[::1]' g
to 127.0.0.1 g
to localhost g
