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
# From that address.
guest a g --type pvh --memory 32M
xm a --live "127.0.0.1:$port" g --bind 127.0.0.2 --dscp 46 >move 2>&1 || fail "$(tail -n 1 move)"
moved a b g
grep -q 'coming from.* 127.0.0.2:' listen-b.err || fail "b said: $(tail -n 3 listen-b.err)"
must "$X" destroy b g
guest a g --type pvh --memory 32M
refused 2 'no address of this host' a --live "127.0.0.1:$port" g --bind 192.0.2.1
refused 2 'not of that kind' a --live "127.0.0.1:$port" g --bind ::1
# Left paused there, under another name, with its number; which may be taken.
was=$("$X" id a g)
xm a --live "127.0.0.1:$port" g --paused --name h --preserve-domid >move 2>&1 || fail "$(tail -n 1 move)"
grep -q 'it is paused there: xl unpause h' move || fail "$(cat move)"
wait_for 20 is_called b h
state_is b h paused
is_gone a g
[ "$("$X" id b h)" = "$was" ] || fail "it was $was and is $("$X" id b h)"
must "$X" unpause b h
sleep 0.2
whole b h
guest a g --type pvh --memory 32M --vcpus 1
was=$("$X" id a g)
for i in $(seq 20); do
    guest b "other$i" --type pv --memory 4M --vcpus 1 --dirty 1
    [ "$("$X" id b "other$i")" -lt "$was" ] || break
done
xm a --live "127.0.0.1:$port" g --preserve-domid >move 2>&1 || fail "$(tail -n 1 move)"
moved a b g
[ "$("$X" id b g)" != "$was" ] || fail "two domains have the number $was"
grep -q "the number $was of \"g\" is not free here" listen-b.err || fail "b said: $(tail -n 3 listen-b.err)"
# Another configuration: its own bridge, and no other guest.
config() { # BRIDGE MEMORY
    echo '{"c_info": {"type": "pvh", "name": "x"}, "b_info": {"max_vcpus": 1, "max_memkb": '"$2"',
        "target_memkb": '"$2"', "type.pvh": {}}, "nics": [{"devid": 0, "mac": "00:16:3e:00:00:01",
        "bridge": "'"$1"'"}]}' >config.json
}
must "$X" destroy b g
guest a g --type pvh --memory 32M --vcpus 1
config xenbr7 65536
refused 2 'what it has does not change on the way' a --live "127.0.0.1:$port" g --config config.json
refused 2 'config nowhere' a --live "127.0.0.1:$port" g --config nowhere
config mgmt 32768
refused 2 'bridge mgmt' a --live "127.0.0.1:$port" g --config config.json
config xenbr7 32768
xm a --live "127.0.0.1:$port" g --config config.json >move 2>&1 || fail "$(tail -n 1 move)"
moved a b g
"$X" config b g | grep -q '"bridge": *"xenbr7"' || fail "$("$X" config b g)"
