# SPDX-License-Identifier: MIT
# Guests that lead odd lives while they move: start programs all the time, are given other memory,
# end.

SCENARIOS+=(odd_ends)
LONG+=(odd_ends_hvm odd_mem_set odd_mem_set_hvm odd_programs odd_programs_pv)

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

# The small HVM guest has so little in its memory that it would be there before it is told anything.
slowly="--bandwidth 1M"

# Without a balloon driver it keeps the pages that it has: it gets its old size back before it moves.
scenario_odd_mem_set_hvm() {
    create_hvm A g
    listen A
    listen B
    pulse A g
    moving A g "$slowly"
    must A "xl mem-set g 10"
    ended 3
    must A "grep -Eq 'another limit of memory|its maximum here is too small' /tmp/send.err"
    lived_on A g
    settled A g
    device_model_runs A g
    no_device_model B
    must A "xl mem-set g 12"
    hvm_moves A
}

# no_device_model HOST: nor its state in a file.
no_device_model() {
    must "$1" "! ps | grep '[x]en-qemu' && ! ls /var/lib/xen/qemu-resume.* 2>/dev/null"
}

# odd_end COMMAND WORDS STATE CREATE...: the guest that CREATE makes ends in the middle of a move, its host
# does what its configuration says (STATE is what is left of it there), the other one has nothing.
odd_end() {
    local how=
    [ "$4" != create_hvm ] || how=$slowly
    "${@:4}"
    must A "xl domid g >/tmp/domid"
    moving A g "$how"
    must A "guest-tell g $1"
    ended 3
    must A "grep -Eq '$2' /tmp/send.err"
    empty B
    no_device_model B
    must B "! ls /var/lib/xmigrate/in-*.json 2>/dev/null"
    case $3 in
    gone)
        empty A
        no_device_model A ;;
    crashed)
        must A "xl list g | awk 'NR == 2 { print \$5 }' | grep c"
        must A "xl destroy g" ;;
    again)
        must A "turns=0; until id=\$(xl domid g 2>/dev/null) && [ \"\$id\" != \"\$(cat /tmp/domid)\" ]; do
            turns=\$((turns + 1)); [ \$turns -lt 300 ] || { xl list; exit 1; }; usleep 200000; done" 90
        whole A g 0 1
        [ "$4" != create_hvm ] || device_model_runs A g
        must A "xl destroy g; pids=\$(pidof xl) && kill \$pids; true" ;;
    esac
}
odd_ends() { # CREATE...
    listen B
    odd_end poweroff 'powered off while it was being moved|ended while' gone "$@"
    odd_end crash 'crashed while it was being moved' crashed "$@"
    odd_end reboot 'rebooted while it was being moved|ended while' again "$@"
}
scenario_odd_ends() { odd_ends create A g pvh; }
scenario_odd_ends_hvm() {
    allow_hvm
    odd_ends create_hvm A g
}
