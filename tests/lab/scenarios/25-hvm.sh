# SPDX-License-Identifier: MIT
# HVM guests with QEMU. What the guest's network card receives is written to its memory by QEMU alone,
# and the guest reads it again later.

SCENARIOS+=(hvm_live hvm_dropin hvm_log_dirty_matters hvm_qemu_missing_or_dead)
LONG+=(hvm_five_times hvm_viridian hvm_linux_live hvm_linux_early hvm_killed hvm_killed_live hvm_dropin_killed
       hvm_pause_parts)
LIMITS[hvm_linux_live]=1800 LIMITS[hvm_linux_early]=1800

# To the other host, and whole, with its device model, there.
hvm_moves() { # FROM [MODE]
    moves "$1" g "${2:---live}"
    device_model_runs "$(other_host "$1")" g
}

scenario_hvm_live() {
    create_hvm A g
    device_model_runs A g
    listen A
    listen B
    hvm_moves A
    hvm_moves B --offline
}

# Linux with PV drivers, which suspends when it is asked to: its disks, one of them emulated, and its vif
# go on.
hvm_linux_moves() { # [OPTIONS]: of both ends
    local from to log=$LAB_DIR/log/hvm_linux_move
    create_hvm_linux A g
    for from in A B; do
        must $from "hostclock /host/clock"
        listen $from "${1:-}"
    done
    for from in A B; do
        to=$(other_host $from)
        disk_works $from
        vif_works $from
        pulse $from g
        move $from g --live "--start-timeout 2m ${1:-}" >"$log" || exit 1
        cat "$log"
        arrived $to g
        must $to "qmp g query-status | grep '\"status\": \"running\"'"
        echo "report: $(grep -E '^ +downtime ' "$log" | xargs); by the guest's clock" \
            "$(longest_gap $to g "$pulse_tick") ms"
    done
    disk_works A
    vif_works A
}

# Its disks have to wait for the pause, and QEMU with them.
scenario_hvm_linux_live() { hvm_linux_moves; }

# QEMU is started, and opens its disk, while the guest still writes there.
scenario_hvm_linux_early() {
    local host
    hvm_linux_moves "--early-disks all"
    for host in A B; do must $host "grep 'ready for g, which still runs' /tmp/listen.err"; done
}

# What a guest has set of Viridian it finds again (hvm.c): MSRs of the domain and of its vCPU, the
# hypercall page, a time that goes on.
scenario_hvm_viridian() {
    create_hvm A g 'viridian=["all"]'
    # All that it looks at, once a second.
    [ "$(field "$line" viridian)" = $(($(field "$line" tick) * 10)) ] || fail "not all of Viridian is there: $line"
    listen A
    listen B
    hvm_moves A
    hvm_moves B --offline
}

scenario_hvm_five_times() {
    local turn
    create_hvm A g
    listen A
    listen B
    for ((turn = 0; turn < 5; turn++)); do
        hvm_moves A
        hvm_moves B
    done
}

# Stock at both ends, ours at the one and the other, at both.
scenario_hvm_dropin() {
    create_hvm A g
    stock_migrate A "" ""
    device_model_runs B g
    stock_migrate B "$ours" ""
    stock_migrate A "" "$ours"
    stock_migrate B "$ours" "$ours"
    device_model_runs A g
}

# The negative control: a helper that libxl is not asked by to switch QEMU's log-dirty on. What QEMU
# wrote is stale then, and the guest finds it.
scenario_hvm_log_dirty_matters() {
    local frames
    create_hvm A g
    must A "printf '%s\n' '#!/bin/sh' 'exec /usr/sbin/xmigrate-save-helper \
            \"\$1\" \"\$2\" \"\$3\" \"\$4\" \"\$5\" 8 \"\$7\"' >/tmp/deaf; chmod +x /tmp/deaf"
    stock_receiver B ""
    must A "LIBXL_SAVE_HELPER=/tmp/deaf xl migrate -s reach g hostB" 300
    line=$(on B "guest-tick g 0 60") || fail "$line"
    line=$(on B "guest-tick g $(($(field "$line" tick) + 2)) 60") || fail "$line"
    frames=$(field "$line" bad 3)
    [ "${frames:-0}" -gt 0 ] || fail "nobody missed what QEMU wrote: $line"
}

# strikes WHO [AFTERWARDS]: WHO on A is killed while g stands still on its way to B; AFTERWARDS is a
# command for A. The pause is short, so A's helper sleeps in it.
strikes() {
    local slow="FAULT_GATE=/tmp/suspended FAULT_OPENS='\"event\":\"suspended\"'"
    echo "-- KILL for $1 while suspended"
    must A 'rm -f /tmp/suspended'
    pulse A g
    moving A g "" "$slow $(faulty --save-domain call:any:sleep=4)"
    sender_says A suspended 60
    must A "kill -KILL $1"
    collect "$sender" 120
    [ -z "${2:-}" ] || must A "$2" 60
    pulse A g
    lived_on A g
    settled A g
    device_model_runs A g
}

scenario_hvm_killed() {
    create_hvm A g
    listen B
    # Its rescuer has the same name: the oldest is the supervisor.
    strikes '$(pidof xmigrate | tr " " "\n" | sort -n | head -n 1)'
    strikes "$supervisors" "xmigrate --recover"
    strikes "$helpers"
    strikes "$supervisors $helpers" "xmigrate --recover"
}

scenario_hvm_killed_live() {
    create_hvm A g
    listen B
    dies A KILL "$supervisors" 137 "sleep 3"
    device_model_runs A g
    dies A KILL "$helpers" 3
    device_model_runs A g
    dies B KILL "$receivers" 3
    device_model_runs A g
}

# The same with our helper under xl: it brings the guest back when xl dies while the guest stands still (it
# saves the vCPUs then, domctl 33), and xl does when the state that arrives (domctl 34) kills the other helper.
scenario_hvm_dropin_killed() {
    create_hvm A g
    stock_receiver B "$ours"
    pulse A g
    spawn A "$(faulty --save-domain call:domctl_33:sleep=5) $ours xl migrate -s reach g hostB"
    struck A
    must A "xl list g | awk 'NR == 2 { print \$5 }' | grep s
        for pid in \$(pidof xl); do
            ! tr '\\0' ' ' </proc/\$pid/cmdline | grep 'xl migrate' || kill -KILL \$pid || exit
        done"
    collect "$spawned" 120
    hvm_is_back
    must B "kill \$(pidof socat)"
    stock_receiver B "$(faulty --restore-domain call:domctl_34:kill) $ours"
    pulse A g
    must_not A "$ours xl migrate -s reach g hostB" 300
    struck B
    hvm_is_back
    stock_migrate A "$ours" "$ours"
    device_model_runs B g
}
hvm_is_back() {
    lived_on A g
    device_model_runs A g
    settled A g
    no_device_model B
}

# On all hosts, until host-clean: when xenstore has a word of a QEMU that starts.
watch_qemu() {
    local host
    for host in "${HOSTS[@]}"; do
        must "$host" 'xenstore-watch /local/domain/0/device-model 2>&1 | while read -r path; do
            read -r up rest </proc/uptime; echo "$up $path"; done >>/tmp/starts & true'
    done
}

# start_of_qemu HOST: of g's there, from libxl's first word about it in xenstore on, in ms: until it was started
# and until it had made its devices; and then until its state was loaded and it ran. Of one that was started
# early, for which somebody said that it runs before it did: that, and zeros. What it took to load its state is not
# told apart then.
start_of_qemu() {
    must "$1" 'cat /tmp/starts
        read -r stat </proc/$(xenstore-read /local/domain/$(xl domid g)/image/device-model-pid)/stat
        echo "${stat##*) } stat"' | awk '
        $NF == "stat" { started = $20 * 10; next }
        !first { first = $1 * 1000 }
        $2 ~ "/backends" { made = $1 * 1000 }
        $2 ~ "/state$" { runs = $1 * 1000; said++ }
        END {
            if (said > 1) { print "started 0 made 0 loaded 0 early"; exit }
            print "started", started - first, "made", made - first, "loaded", runs - made
        }'
}

# Where libxl's part of an HVM guest's pause goes.
scenario_hvm_pause_parts() {
    local from to turn
    create_hvm A g
    listen A
    listen B
    watch_qemu
    for ((turn = 0; turn < 2; turn++)); do
        for from in A B; do
            to=$(other_host $from)
            must $to ': >/tmp/starts'
            pulse $from g
            must $from "xmigrate --live host$to g --json --start-timeout 2m" 300
            arrived $to g
            echo "report: QEMU, ms: $(start_of_qemu $to)"
        done
    done
}

# What libxl would find out in the pause is asked before; a QEMU that dies in the middle keeps the
# guest where it is.
scenario_hvm_qemu_missing_or_dead() {
    local qemu=/usr/libexec/xen-qemu-system-i386
    create_hvm A g
    listen B
    pulse A g
    must B "mv $qemu /tmp/qemu"
    refused 2 'no device model' A "xmigrate --live hostB g -q"
    must B "mv /tmp/qemu $qemu; mv /boot/hvm-guest /tmp"
    refused 2 '/boot/hvm-guest' A "xmigrate --live hostB g -q"
    must B "mv /tmp/hvm-guest /boot"
    lived_on A g
    device_model_runs A g
    moving A g
    must A "kill -KILL \$(xenstore-read /local/domain/\$(xl domid g)/image/device-model-pid)"
    ended 3
    must A "grep -q 'device model' /tmp/send.err"
    settled A g
}
