# SPDX-License-Identifier: MIT
# A host loses its power around GO: its disk has what was synced, and all else is gone. What is in
# doubt then is settled when it is back: the guest never runs twice, and never with old memory after
# it has run on the other host.
#
# A fault stops the process that comes to a certain point; then the power goes.

LONG+=(power_lost_there_before_go power_lost_there_at_go power_lost_there_when_it_may_have_run
       power_lost_there_when_it_ran power_lost_here_before_go power_lost_here_at_go power_lost_on_both
       wire_lost_at_go)

# nowhere: no guest on either host, in whatever state. Who receives may still be waiting for a source that
# has gone.
nowhere() {
    empty A
    empty B
}

# no_doubt: neither host has a guest of which it does not know where it is. (A destination may
# remember for a source that does not know of it any more.)
no_doubt() {
    local host
    for host in A B; do
        must $host '! ls /var/lib/xmigrate/out-*.json 2>/dev/null'
    done
}

# back HOST: the power is there again, and so is its listener, which settles what it can.
back() {
    power_on "$1" || fail "$1 does not boot again"
    listen "$1"
}

# old_memory_waits: g is suspended on A, and nothing but the other host's word lets it go.
old_memory_waits() {
    must A 'xl list | grep "g--migratedaway .*---s"'
    refused 2 'may run there' A "xmigrate --resume g--migratedaway"
    must A 'xl list | grep "g--migratedaway .*---s"'
}

# struck_there PROCESS FAULT, struck_here: g on its way from A, until that process comes to the fault.
struck_there() {
    create A g pvh
    listen B "" "$(faulty "$1" "$2")"
    pulse A g
    moving A g
    struck B
}
struck_here() {
    create A g pvh
    listen B
    pulse A g
    moving A g "" "$(faulty "$1" "$2")"
    struck A
}

# named HOST: the guest has its name there, which it gets when the source has heard, or does not answer.
named() {
    must "$1" 'turns=0; until xl domid g 2>/dev/null; do
        turns=$((turns + 1)); [ $turns -lt 100 ] || { xl list; exit 1; }; usleep 500000; done' 120
}

scenario_power_lost_there_before_go() {
    local began
    struck_there --restore-domain call:domctl_34:stop
    began=$SECONDS
    power_off B
    ended 3
    echo "report: given up $((SECONDS - began)) s after the power went"
    lived_on A g
    back B
    must A "xmigrate --resolve"
    settled A g
    no_doubt
    moves A g
}

# GO was sent; "taken" is not on disk there: it never ran.
scenario_power_lost_there_at_go() {
    struck_there --listen 'record:"taken":stop'
    power_off B
    ended 4
    old_memory_waits
    back B
    must A "xmigrate --resolve"
    lived_on A g
    settled A g
    no_doubt
    moves A g
}

# "Taken" is on disk, and it is to be unpaused (domctl 4): whether it ran nobody knows, so it counts as
# that.
scenario_power_lost_there_when_it_may_have_run() {
    struck_there --listen call:domctl_4:stop
    power_off B
    ended 4
    old_memory_waits
    back B
    must A "xmigrate --resolve"
    nowhere
    no_doubt
}

# It ran, and the source was not told.
scenario_power_lost_there_when_it_ran() {
    struck_there --listen 'write:"start_ns":stop'
    lived_on B g--incoming
    power_off B
    ended 4
    old_memory_waits
    back B
    must A "xmigrate --resolve"
    nowhere
    no_doubt
}

# The guest's memory was here: it is lost, as with any host. Its copy never ran, and goes.
scenario_power_lost_here_before_go() {
    struck_here --live 'record:"given":stop'
    power_off A
    back A
    must A "xmigrate --resolve"
    must B "xmigrate --resolve"
    nowhere
    no_doubt
}

scenario_power_lost_here_at_go() {
    struck_here --live 'write:"go":stop'
    power_off A
    named B
    lived_on B g
    back A
    must A "xmigrate --resolve"
    settled B g
    moves B g
}

scenario_power_lost_on_both() {
    struck_there --listen call:domctl_4:stop
    power_off A
    power_off B
    back A
    back B
    must A "xmigrate --resolve"
    nowhere
    no_doubt
}

# Nobody dies; STARTED does not come through.
scenario_wire_lost_at_go() {
    listen A
    struck_there --listen call:domctl_4:sleep=5
    must A "ip link set eth0 down"
    ended 4
    named B
    lived_on B g
    old_memory_waits
    must A "ip link set eth0 up; xmigrate --resolve"
    settled B g
    moves B g
}
