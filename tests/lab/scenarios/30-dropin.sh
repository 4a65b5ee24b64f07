# Stock xl with our save helper at one end, the other, or both: the stream is libxc's own.

SCENARIOS+=(dropin_save_pv dropin_save_pvh dropin_restore_pv dropin_restore_pvh
            dropin_migrate_sending dropin_migrate_receiving dropin_migrate_both dropin_bad_stream)

ours='LIBXL_SAVE_HELPER=/usr/libexec/xmigrate/xmigrate-save-helper'

# verify HOST FILE: Xen's own verifier accepts what we wrote.
verify() {
    local tree
    tree=$(cat "$LAB_DIR/image/tree")
    must "$1" "cp $2 /both/stream" 120
    PYTHONPATH=$tree/usr/lib/xen-4.17/lib/python timeout 300 python3 \
        "$tree/usr/lib/xen-4.17/bin/verify-stream-v2" --format xl --in "$LAB_DIR/both/stream" \
        >"$LAB_DIR/verify.log" 2>&1 ||
        fail "verify-stream-v2: $(grep . "$LAB_DIR/verify.log" | tail -n 1)"
    rm -f "$LAB_DIR/both/stream"
}

save_restore() { # TYPE SAVING RESTORING
    create A g "$1"
    pulse A g
    must A "$2 xl save g /tmp/g.saved" 180
    [ "$2" != "$ours" ] || verify A /tmp/g.saved
    must A "$3 xl restore /tmp/g.saved" 180
    lived_on A g
    settled A g
}

scenario_dropin_save_pv() { save_restore pv "$ours" ""; }
scenario_dropin_save_pvh() { save_restore pvh "$ours" ""; }
scenario_dropin_restore_pv() { save_restore pv "" "$ours"; }
scenario_dropin_restore_pvh() { save_restore pvh "" "$ours"; }

stock_migrate() { # SENDING RECEIVING
    create A g pvh
    pulse A g
    stock_receiver B "$2"
    must A "$1 xl migrate -s reach g hostB" 300
    lived_on B g
    only_on B g
}

scenario_dropin_migrate_sending() { stock_migrate "$ours" ""; }
scenario_dropin_migrate_receiving() { stock_migrate "" "$ours"; }
scenario_dropin_migrate_both() { stock_migrate "$ours" "$ours"; }

# A stream cut short, and one with a record spoiled: refused, nothing half built stays.
scenario_dropin_bad_stream() {
    create A g pvh
    must A "xl save g /tmp/g.saved" 180
    must A "size=\$(stat -c %s /tmp/g.saved); head -c \$((size / 2)) /tmp/g.saved >/tmp/g.short"
    must_not A "$ours xl restore /tmp/g.short" 120
    must A "[ \$(xl list | wc -l) = 2 ]"
    # Far behind the headers: the middle of the pages, a page record's header among them.
    must A "cp /tmp/g.saved /tmp/g.bad
        dd if=/dev/urandom of=/tmp/g.bad bs=4096 seek=200 count=2000 conv=notrunc 2>/dev/null"
    must_not A "$ours xl restore /tmp/g.bad" 120
    must A "[ \$(xl list | wc -l) = 2 ]"
    must A "$ours xl restore /tmp/g.saved" 180
    whole A g 0 1
}
