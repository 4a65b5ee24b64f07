# SPDX-License-Identifier: MIT
# The lab itself: what stock Xen can do here, and that the emulator keeps registers apart. When
# these fail, nothing else in the lab means anything.

SCENARIOS+=(lab_registers)
LONG+=(stock_save_restore_pv stock_save_restore_pvh stock_migrate_pvh)

scenario_lab_registers() {
    create A busy pvh load="mem=8 still=0 rate=2000 fpu=1"
    must A "fpu 10" 120
    whole A busy "$(field "$line" tick)" 1
    [ "$(field "$line" fpu)" -gt 0 ] || fail "the guest held no registers: $line"
}

stock_save_restore() {
    create A g "$1"
    pulse A g
    must A "xl save g /tmp/g.saved" 120
    must A "xl restore /tmp/g.saved" 120
    lived_on A g
}
scenario_stock_save_restore_pv() { stock_save_restore pv; }
scenario_stock_save_restore_pvh() { stock_save_restore pvh; }

# stock_receiver HOST [ENVIRONMENT]: `xl migrate` to this host reaches xl migrate-receive. When the source is
# gone, socat would kill it after -t seconds, which it needs to clean up.
stock_receiver() {
    must "$1" "${2:-} setsid socat -t 60 -b 262144 tcp-listen:8200,reuseaddr,fork \
        exec:'xl migrate-receive' >/tmp/receiver.log 2>&1 </dev/null & usleep 300000"
}

scenario_stock_migrate_pvh() {
    create A g pvh
    pulse A g
    stock_receiver B
    must A "xl migrate -s reach g hostB" 240
    arrived B g
}

# Only where the hypervisor has shadow paging: what stock does there is what ours is compared with.
scenario_stock_migrate_pv() {
    create A g pv
    pulse A g
    stock_receiver B
    must A "xl migrate -s reach g hostB" 300
    arrived B g
}
