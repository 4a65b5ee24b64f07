# SPDX-License-Identifier: MIT
# Stock xl with our save helper at one end, the other, or both: the stream is libxc's own.

SCENARIOS+=(dropin_file_pv dropin_file_pvh dropin_migrate dropin_bad_stream)
LONG+=(dropin_apparmor)

ours='LIBXL_SAVE_HELPER=/usr/sbin/xmigrate-save-helper'

# verify HOST FILE: Xen's own verifier accepts what we wrote.
verify() {
    local xen
    xen=$(echo "$(tree_of "$1")"/usr/lib/xen-4.*)
    must "$1" "cp $2 /both/stream" 120
    PYTHONPATH=$xen/lib/python timeout 300 python3 \
        "$top/tests/e2e/verify_stream.py" "$xen/bin/verify-stream-v2" --format xl \
        --in "$LAB_DIR/both/stream" >"$LAB_DIR/verify.log" 2>&1 ||
        fail "verify-stream-v2: $(grep . "$LAB_DIR/verify.log" | tail -n 1)"
    rm -f "$LAB_DIR/both/stream"
}

save_restore() { # SAVING RESTORING
    pulse A g
    must A "$1 xl save g /tmp/g.saved" 180
    [ "$1" != "$ours" ] || verify A /tmp/g.saved
    must A "$2 xl restore /tmp/g.saved" 180
    lived_on A g
    settled A g
}

# Ours writes what stock reads, and the other way round.
dropin_file() { # TYPE
    create A g "$1"
    save_restore "$ours" ""
    save_restore "" "$ours"
}
scenario_dropin_file_pv() { dropin_file pv; }
scenario_dropin_file_pvh() { dropin_file pvh; }

stock_migrate() { # FROM SENDING RECEIVING
    local to
    to=$(other_host "$1")
    must "$to" "pids=\$(pidof socat) && kill \$pids; true"
    stock_receiver "$to" "$3"
    pulse "$1" g
    must "$1" "$2 xl migrate -s reach g host$to" 300
    arrived "$to" g
}

# Ours at the sending end, at the receiving end, at both.
scenario_dropin_migrate() {
    create A g pvh
    stock_migrate A "$ours" ""
    stock_migrate B "" "$ours"
    stock_migrate A "$ours" "$ours"
}

# A stream cut short, and one with a record spoiled: refused, nothing half built stays.
scenario_dropin_bad_stream() {
    create A g pvh
    must A "xl save g /tmp/g.saved" 180
    must A "size=\$(stat -c %s /tmp/g.saved); head -c \$((size / 2)) /tmp/g.saved >/tmp/g.short"
    must_not A "$ours xl restore /tmp/g.short" 120
    must A "[ \$(xl list | wc -l) = 2 ]"
    # Far behind the headers: the middle of the pages, a page record's header among them.
    must A "rm /tmp/g.short; cp /tmp/g.saved /tmp/g.bad
        dd if=/dev/urandom of=/tmp/g.bad bs=4096 seek=200 count=2000 conv=notrunc 2>/dev/null"
    must_not A "$ours xl restore /tmp/g.bad" 120
    must A "rm /tmp/g.bad; [ \$(xl list | wc -l) = 2 ]"
    must A "$ours xl restore /tmp/g.saved" 180
    whole A g 0 1
}

# apparmor_libvirt HOST: libvirt's profile is in force there, from Debian's packages; in_libvirt in front of
# a command makes it the daemon's.
in_libvirt='/both/apparmor/aa-exec -p libvirtd --'
apparmor_libvirt() {
    local tree
    tree=$(tree_of "$1")
    mkdir -p "$LAB_DIR/both/apparmor"
    cp -r "$tree"/etc/apparmor.d "$tree"/sbin/apparmor_parser "$tree"/usr/bin/aa-exec "$LAB_DIR/both/apparmor/"
    touch "$LAB_DIR/both/apparmor/apparmor.d/local/usr.sbin.libvirtd"
    must "$1" "grep -x Y /sys/module/apparmor/parameters/enabled &&
        { [ -e /sys/kernel/security/apparmor ] || mount -t securityfs securityfs /sys/kernel/security; } &&
        /both/apparmor/apparmor_parser --replace --skip-cache --base /both/apparmor/apparmor.d \
            /both/apparmor/apparmor.d/usr.sbin.libvirtd &&
        grep -x 'libvirtd (enforce)' /sys/kernel/security/apparmor/profiles" 300
}

# libxl as libvirt's daemon has it: it may start our helper where it is installed, and nowhere else.
scenario_dropin_apparmor() {
    local xl="$in_libvirt \$(command -v xl)"
    apparmor_libvirt A
    create A g pvh
    pulse A g
    must A "$in_libvirt /bin/cat /proc/self/attr/current | grep -x 'libvirtd (enforce)' &&
        $ours $xl save g /tmp/g.saved && $ours $xl restore /tmp/g.saved" 300
    lived_on A g
    settled A g
    pulse A g
    must A "mkdir -p /opt && cp /usr/sbin/xmigrate-save-helper /opt/ && dmesg -c >/dev/null"
    must_not A "LIBXL_SAVE_HELPER=/opt/xmigrate-save-helper $xl save g /tmp/g.saved" 120
    must A "dmesg | grep 'apparmor=.DENIED.*profile=.libvirtd. name=./opt/xmigrate-save-helper'"
    lived_on A g
    settled A g
}
