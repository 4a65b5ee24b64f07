# SPDX-License-Identifier: MIT
# Guests that lead odd lives while they move: start programs all the time, are given other memory,
# end.

SCENARIOS+=(odd_ends)
LONG+=(odd_mem_set odd_programs odd_programs_pv)

# Two vCPUs that start programs all the time, and 512 MiB.
odd_programs() { # TYPE MODE
    local forks
    create A g "$1" memory=512 vcpus=2 load="mem=8 still=8 rate=300 threads=2 fork=1"
    listen A
    listen B
    moves A g "$2"
    forks=$(field "$line" fork)
    moves B g "$2"
    [ "$(field "$line" fork)" -gt "$forks" ] || fail "no program was started on A: $line"
    [ "$(field "$line" cpus)" = 2 ] || fail "not two vCPUs: $line"
}
scenario_odd_programs() { odd_programs pvh --live; }
scenario_odd_programs_pv() { odd_programs pv --offline; }

# mem_set FROM MIB: xl asks for another size while it moves, which its copy was not told of: it stays,
# and arrives with the new size when it is moved again.
mem_set() {
    local host
    host=$(other_host "$1")
    pulse "$1" g
    moving "$1" g
    must "$1" "xl mem-set g $2"
    ended 3
    # The other host may meet with pages that it has no room for before the source looks.
    must "$1" "grep -Eq 'another limit of memory|its maximum here is too small' /tmp/send.err"
    lived_on "$1" g
    settled "$1" g
    moves "$1" g
    must "$host" "xl list g; mib=\$(xl list g | awk 'NR == 2 { print \$3 }')
        [ \$mib -ge $(($2 - 4)) ] && [ \$mib -le $(($2 + 4)) ]"
}

scenario_odd_mem_set() {
    create A g pvh memory=192
    listen A
    listen B
    mem_set A 150
    mem_set B 180
}

# odd_end TYPE COMMAND WORDS STATE: it ends in the middle of a move, its host does what its
# configuration says (STATE is what is left of it there), the other one has nothing.
odd_end() {
    create A g "$1"
    moving A g
    must A "guest-tell g $2"
    ended 3
    must A "grep -Eq '$3' /tmp/send.err"
    empty B
    case $4 in
    gone) empty A ;;
    crashed)
        must A "xl list g | awk 'NR == 2 { print \$5 }' | grep c"
        must A "xl destroy g" ;;
    again)
        whole A g 0 1
        must A "xl destroy g; pids=\$(pidof xl) && kill \$pids; true" ;;
    esac
}
scenario_odd_ends() {
    listen B
    odd_end pvh poweroff 'powered off while it was being moved|ended while' gone
    odd_end pvh crash 'crashed while it was being moved' crashed
    odd_end pvh reboot 'rebooted while it was being moved|ended while' again
}
