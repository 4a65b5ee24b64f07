#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest that reboots, powers off, crashes or wants to be reset in the middle of a live move: its host does what its
# configuration says, the move ends with that reason, and nothing is left at the other host.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
two_hosts
listen a
port_a=$port
listen b
port_b=$port
domain_id() { "$X" list "$1" | awk '$2 == "g" { print $1 }'; }
# ends_with WORDS: the move under way, and the other host is empty then.
ends_with() {
    ended 3
    grep -q "$1 while it was being moved" "$T/moving.err" || fail "not $1: $(cat "$T/moving.err")"
    wait_for 20 nothing_on b
}
# A domain without a monitor stays as it is: xl's daemon would look after it.
stays_dead() { # HOW WORDS STATE
    moving a g --bandwidth 200M
    must "$X" end a g "$1"
    ends_with "$2"
    ! grep "runs on here" "$T/moving.err" || fail "it does not run"
    state_is a g "$3"
    must "$X" destroy a g
}
# One with a monitor of ours, which came by a move, is started again where it was.
restarts() { # TYPE
    local before
    guest a g --type "$1" --memory 64M
    move a g
    must "$X" set-config b g "$("$X" config b g | sed '0,/{/s//{ "on_reboot": "restart",/')"
    port=$port_a
    move b g
    port=$port_b
    move a g
    before=$(domain_id b)
    port=$port_a
    moving b g --bandwidth 200M
    must "$X" end b g reboot
    ended 3
    # Its monitor may have destroyed it before anybody saw why.
    grep -q '\(rebooted\|ended\) while it was being moved' "$T/moving.err" ||
        fail "not rebooted: $(cat "$T/moving.err")"
    wait_for 20 nothing_on a
    wait_for 20 eval '[ -n "$(domain_id b)" ] && [ "$(domain_id b)" != "'$before'" ]'
    wait_for 20 eval '"$X" list b | grep -q running'
    whole b g
    port=$port_b
    must "$X" destroy b g
    echo "$1 restarts"
}
for type in pv pvh hvm; do
    for how in 'poweroff powered_off poweroff' 'reboot rebooted reboot' 'crash crashed crashed' \
        'soft-reset reset_itself soft-reset'; do
        set -- $how
        guest a g --type $type --memory 64M
        stays_dead "$1" "${2/_/ }" "$3"
    done
    echo "$type ends"
done
for type in pvh hvm; do
    restarts $type
done
