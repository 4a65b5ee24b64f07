#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest that has arrived is announced out of its bridge, five times at growing intervals, and the
# bridge finds it behind its vif: not before it runs, not when the move fails, not when that is
# switched off, and not when another script or no bridge of this host is concerned.
# deadline: 200
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/link.sh"
two_hosts
long_link 1000 1 0
in_b() {
    nsenter --net="${network[b]}" "$@"
}
MAC=00:16:3e:12:34:56
# Frames leave the bridge through eth9; a switch would see them at uplink. vifN.0 are guests' ends.
in_b ip link add xenbr0 type bridge 2>/dev/null || skip "no bridges in a network namespace"
in_b ip link add eth9 type veth peer name uplink
for port in eth9 uplink; do
    [ $port = uplink ] || in_b ip link set $port master xenbr0
    in_b ip link set $port up
done
in_b ip link set xenbr0 up
# vif N: the end of domain N's interface in the host.
vif() {
    in_b ip link add "vif$1.0" type veth peer name "guest$1"
    in_b ip link set "vif$1.0" master xenbr0
    in_b ip link set "vif$1.0" up
    in_b ip link set "guest$1" up
}
# guest_with NIC: one that libxl thinks has such an interface.
guest_with() {
    guest a g --type pvh --memory 32M --dirty 0
    must on a python3 "$E2E/set_config.py" g '{"c_info": {"type": "pvh", "name": "g"},
        "b_info": {"max_vcpus": 2, "max_memkb": 32768, "target_memkb": 32768, "type.pvh": {}},
        "nics": [{"devid": 0, "mac": "'$MAC'", '"$1"'}]}'
}
capture() {
    launch "$T/frames" "$T/frames.err" nsenter --net="${network[b]}" python3 "$E2E/capture.py" uplink
    wait_for 20 has_said "$launched" ready "$T/frames"
    capturer=$launched
}
frames() {
    [ "$(grep -c ' ' "$T/frames")" -ge "$1" ]
}
# silent WHY: nothing is announced.
silent() {
    sleep 1.5
    ! frames 1 || fail "$1: announced: $(cat "$T/frames")"
    echo "$1: nothing"
}
nobody_announces() {
    ! pgrep -f -- "--announce 1 0/$MAC" >/dev/null
}
arrive() {
    xm a --live "$FAR:$port" g --lanes 1 "$@" -q || fail "it did not move"
    state_is b g running
}
leave() {
    must "$X" destroy b g
    kill "$capturer"
}
listen_at b $FAR:0
for n in 1 2 3 4 5; do vif $n; done

# The bridge has seen the guest behind its uplink, where it was.
in_b bridge fdb replace $MAC dev eth9 master dynamic
capture
guest_with '"bridge": "xenbr0", "script": "/etc/xen/scripts/vif-bridge"'
arrive
wait_for 20 frames 5
sleep 0.6
awk -v mac="${MAC//:/}" '
    BEGIN { zero = "00000000"
        want = "ffffffffffff" mac "8035" "0001" "0800" "06" "04" "0003" mac zero mac zero }
    NF == 2 { n++
        if (substr($2, 1, length(want)) != want || length($2) != 120) bad = $2
        if (n > 1) pause[n] = $1 - last
        last = $1 }
    END { if (n != 5 || bad != "") { print n, "frames", bad, "not", want; exit 1 }
        print "after", pause[2], pause[3], pause[4], pause[5]
        # A frame that is seen late shortens the interval behind it.
        exit !(pause[3] + pause[4] + pause[5] >= 0.5) }' "$T/frames" ||
    fail "$(cat "$T/frames")"
in_b bridge fdb show | grep -q "$MAC dev vif1.0" || fail "the bridge knows: $(in_b bridge fdb show)"
wait_for 20 nobody_announces
leave

capture
guest_with '"bridge": "xenbr0", "script": "vif-openvswitch"'
arrive
silent "another script"
leave

capture
guest_with '"bridge": "xenbr9"'
arrive
wait_for 20 grep -qs 'there is no bridge xenbr9' "$T/listen-b.err"
silent "no such bridge"
leave

# The destination has built it when the source gives up.
capture
guest_with '"bridge": "xenbr0"'
FAULT_IN=--live FAULT='write:"ready":kill' xm a --live "$FAR:$port" g --json >/dev/null 2>&1 &&
    fail "it moved"
silent "a move that failed"
wait_for 20 nothing_on b
kill "$capturer"
on a "$B/xmigrate" --recover -q
kill "$listener"

port=
listen_at b $FAR:0 --no-announce
capture
state_is a g running
arrive
silent "switched off"
leave
