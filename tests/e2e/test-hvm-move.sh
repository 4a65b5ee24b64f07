#!/bin/bash
# SPDX-License-Identifier: MIT
# HVM guests move with what their device model wrote, live and offline; what cannot be moved is
# refused beforehand, in one line; and an unsound device model keeps the guest where it is.
# deadline: 240
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
two_hosts
listen b
good_port=$port
for how in live offline; do
    for lanes in 1 4; do
        hvm_guest a g
        xm a --$how "127.0.0.1:$port" g --lanes $lanes >said 2>&1 ||
            fail "$how, lanes: $lanes: $(tail -n 5 said "$T/listen-b.err")"
        dm_is b 'running, log-dirty off'
        moved a b g
        must "$X" destroy b g
    done
done
# The other host cannot do its part in the end: the device model's log-dirty, left on in the pause, is
# off again.
hvm_guest a g --vif
good=$listener
XENSIM_DEVICES=fail=vif0 listen b
refused 3 'hotplug script of vif0' a --live "127.0.0.1:$port" g -q
untouched a b g
dm_is a 'running, log-dirty off'
must "$X" destroy a g
kill $listener
wait $listener
listener=$good
port=$good_port

# The negative control: without the device model's log-dirty, what it wrote is missed.
hvm_guest a g
must "$X" dm a g ignore-log
move a g
sleep 0.3
said=$("$X" verify b g 2>&1) && fail "nobody missed what the device model wrote: $said"
must "$X" destroy b g

hvm_guest a g
# An old one there, one that is none, none at all.
emulator 6.1 b
refused 2 'QEMU 6.1' a --live "127.0.0.1:$port" g -q
emulator none b
refused 2 'no version' a --live "127.0.0.1:$port" g -q
rm "$T/qemu-b"
refused 2 'cannot be run' a --live "127.0.0.1:$port" g -q
emulator 7.2 b
# It would be read to death.
must "$X" dm a g pod 100
refused 2 'populate-on-demand' a --live "127.0.0.1:$port" g -q
must "$X" dm a g pod 0
# Left paused by somebody.
must "$X" dm a g stop
refused 2 '--resume' a --live "127.0.0.1:$port" g -q
must on a "$B/xmigrate" --resume g
dm_is a 'running, log-dirty off'
# It refuses, it is slow.
must "$X" dm a g refuse
refused 3 'log-dirty' a --live "127.0.0.1:$port" g -q
untouched a b g
must "$X" dm a g slow:1s
move a g
must "$X" dm b g obey
moved a b g
must "$X" destroy b g
# It dies before, and in the middle: the guest goes on, and that is said.
hvm_guest a g
must "$X" dm a g die
refused 2 'it is dead' a --live "127.0.0.1:$port" g -q
must "$X" destroy a g
hvm_guest a g
moving a g --bandwidth 200M
must "$X" dm a g die
ended 3
grep -q 'has died: the guest is not asked to suspend' "$T/moving.err" || fail "nobody said why: $(cat "$T/moving.err")"
state_is a g running
logdirty_is a g off
