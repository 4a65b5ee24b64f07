# SPDX-License-Identifier: MIT
# Guests that move while they run, and those that Xen can only move suspended.

SCENARIOS+=(pvh_live pvh_one_lane_and_offline pvh_live_two_vcpus_and_same_host pvh_live_devices
            pvh_late_write pv_offline pv_live)
LONG+=(pv_offline_five_times pvh_live_five_times pvh_disk_count_six_times
       pvh_disk_count_hundred_times pvh_kernel_tls pvh_throttled)
LIMITS[pvh_disk_count_hundred_times]=5400

there_and_back() { # MODE TURNS
    local turn
    for ((turn = 0; turn < $2; turn++)); do
        moves A g "$1"
        moves B g "$1"
    done
}

# built_early HOST: a guest that arrived there was built, but for memory and vCPUs, while it still ran.
built_early() {
    must "$1" "grep 'ready for g, which still runs' /tmp/listen.err || { cat /tmp/listen.err; exit 1; }"
}

# What our processes together take for themselves: 64 MiB and one byte a guest page at the source,
# 64 MiB and ten bytes a guest page at the destination.
own_memory_under() { # HOST BYTES_PER_PAGE
    local kib limit_kib=$((64 * 1024 + 256 * 256 * $2 / 1024))
    kib=$(on "$1" "for pid in \$(pidof xmigrate) \$(pidof xmigrate-save-helper); do
            grep RssAnon /proc/\$pid/status
        done | awk '{ sum += \$2 } END { print sum + 0 }'") || fail "no RssAnon on $1"
    echo "own memory on $1: $kib KiB of $limit_kib"
    [ "$kib" -gt 0 ] && [ "$kib" -le $limit_kib ] ||
        fail "our processes on $1 take $kib KiB, the limit is $limit_kib"
}

# The engine, which may stand beside the process that libxl started, has given up its privileges, and
# asked for nothing that was refused.
confined_on() { # HOST
    must "$1" "for pid in \$(pidof xmigrate-save-helper); do
            [ \"\$(awk '/^(CapEff|CapBnd|NoNewPrivs|Seccomp):/ { printf \"%s \", \$2 }' /proc/\$pid/status)\" = \
                '0000000000000000 0000000000000000 1 2 ' ] && [ ! -e /proc/\$pid/root/etc ] && found=\$pid
        done
        [ -n \"\$found\" ] && ! dmesg | grep 'type=1326.*save-h'"
}

scenario_pvh_live() {
    create A g pvh memory=256 load="mem=12 still=12 rate=300 fpu=1"
    listen A
    listen B
    pulse A g
    moving A g "--bandwidth 64M"
    own_memory_under A 1
    own_memory_under B 10
    confined_on A
    confined_on B
    ended 0
    arrived B g
    moves B g
}

# encrypted_by WHO FROM: g moves from there with --kernel-tls, and the summary says that.
encrypted_by() {
    pulse "$2" g
    must "$2" "xmigrate --live host$(other_host "$2") g $soon --kernel-tls --verbose >/tmp/move.out 2>&1
        code=\$?; cat /tmp/move.out; [ \$code = 0 ] && grep -q 'encryption  .*, by $1' /tmp/move.out" 300
    arrived "$(other_host "$2")" g
}

# Its module comes when it is asked for, unless the host has none. (These hosts have modprobe in no usual
# place.)
scenario_pvh_kernel_tls() {
    create A g pvh memory=128 load="mem=8 still=8 rate=200"
    listen A
    listen B
    must A "echo /bin/modprobe >/proc/sys/kernel/modprobe; ! grep ^tls /proc/modules"
    encrypted_by "the kernel" A
    must A "awk '\$1 == \"TlsTxSw\" { print; lanes = \$2 } END { exit lanes < 1 }' /proc/net/tls_stat"
    must B "echo /bin/false >/proc/sys/kernel/modprobe; ! grep ^tls /proc/modules"
    encrypted_by OpenSSL B
}

scenario_pvh_live_five_times() {
    create A g pvh memory=256 vcpus=2 load="mem=16 still=64 rate=500 fpu=1 threads=2"
    listen A
    listen B
    there_and_back --live 5
}

scenario_pvh_one_lane_and_offline() {
    create A g pvh
    listen A
    listen B
    pulse A g
    must A "xmigrate --live hostB g --lanes 1 $soon" 300
    arrived B g
    moves B g --offline
}

# To the other host, and there to the same host.
scenario_pvh_live_two_vcpus_and_same_host() {
    create A g pvh vcpus=2 load="mem=8 still=4 rate=200 threads=2"
    listen B
    pulse A g
    move A g
    lived_on B g
    [ "$(field "$line" cpus)" = 2 ] || fail "not two vCPUs: $line"
    only_on B g
    pulse B g
    must B "xmigrate --live localhost g --lanes 4 $soon" 300
    arrived B g
}

# The disk goes on: its counter grows by some, and nothing read is wrong (tick looks at that).
disk_works() { # HOST
    local before
    line=$(tick "$1" g) || fail "$line"
    before=$(field "$line" disk)
    whole "$1" g $(($(field "$line" tick) + 3)) 0
    [ "$(field "$line" disk)" -gt "$before" ] || fail "the disk stands still on $1: $line"
}

vif_works() { # HOST
    must "$1" "ping -c 3 -w 20 10.0.0.9" 40
}

scenario_pvh_live_devices() {
    create A g pvh memory=176 devices=1
    listen B
    disk_works A
    vif_works A
    pulse A g
    move A g
    lived_on B g
    disk_works B
    vif_works B
    vif_works A
    only_on B g
    # The listener's process is its monitor: a guest that reboots comes back.
    must B "xl domid g >/tmp/domid; guest-tell g reboot
        turns=0
        until id=\$(xl domid g 2>/dev/null) && [ \"\$id\" != \"\$(cat /tmp/domid)\" ]; do
            turns=\$((turns + 1))
            [ \$turns -lt 300 ] || { xl list; cat /tmp/listen.err; exit 1; }
            usleep 200000
        done" 90
    whole B g 0 1
    disk_works B
    vif_works B
}

# Writes take 3 s at the source, longer than the rest of the pause: what is open when the guest is
# suspended must not land on top of what it has written since.
scenario_pvh_late_write() {
    local log=$LAB_DIR/log/late_write_move
    must A "echo 3000 >/run/disk-delay"
    create A g pvh memory=176 devices=1 load="mem=4 still=4 rate=250 count=1"
    listen B
    pulse A g
    move A g --live "--start-timeout 30s" >"$log" || exit 1
    cat "$log"
    echo "report: $(grep -E '^ +(downtime|disks) ' "$log" | xargs)"
    lived_on B g
    disk_works B
    only_on B g
}

# What was on the disk when it was suspended is what it reads there.
scenario_pvh_disk_count_six_times() {
    create A g pvh memory=176 devices=1 load="mem=4 still=4 rate=250 count=1"
    listen A
    listen B
    local turn
    for turn in 1 2 3; do
        disk_works A
        moves A g
        disk_works B
        moves B g
    done
}

# The same within one host, with a disk that is attached early: both backends have it open while the
# guest still counts.
scenario_pvh_disk_count_hundred_times() {
    local turn
    create A g pvh memory=128 devices=phy load="mem=2 still=2 rate=100 count=1"
    listen A
    for ((turn = 1; turn <= ${MOVES:-100}; turn++)); do
        line=$(tick A g) || fail "$line"
        must A "xmigrate --live localhost g --lanes 1 $soon -q" 300
        line=$(tick A g "$(field "$line" tick)") || fail "$line"
        sound "$line" "g after move $turn"
        [ $((turn % 20)) != 0 ] || disk_works A
    done
    echo "report: $((turn - 1)) moves, $(field "$line" disk) counts read back, none of them wrong"
    only_on A g
}

cap_is() { # HOST PERCENT
    must "$1" "xl sched-credit2 -d g | awk '\$1 == \"g\" { print \$NF }' | grep -qx $2"
}

# Slowed down by its scheduler it gets there; then it has the cap that its administrator gave it.
# The same after all processes were killed while it was slow.
scenario_pvh_throttled() {
    local slow="--on-stall throttle --max-downtime 2s --bandwidth 32M --compress none"
    create A g pvh memory=192 load="mem=48 still=8 rate=1500"
    must A "xl sched-credit2 -d g -c 90"
    listen B
    spawn A "xmigrate --live hostB g --lanes 4 $slow --json >/tmp/send.json 2>/tmp/send.err"
    sender_says A cap 200
    must A "xl sched-credit2 -d g
        kill -KILL \$(pidof xmigrate) \$(pidof xmigrate-save-helper)
        xmigrate --recover" 60
    cap_is A 90
    pulse A g
    settled A g
    must A "xmigrate --live hostB g --lanes 4 $slow --json >/tmp/send.json" 600
    must A "grep '\"cap\"' /tmp/send.json; tail -n 1 /tmp/send.json"
    cap_is B 90
    arrived B g
}

scenario_pv_offline() {
    create A g pv memory=256 load="mem=12 still=12 rate=300 fpu=1"
    listen A
    listen B
    there_and_back --offline 1
}

scenario_pv_offline_five_times() {
    create A g pv memory=256 load="mem=16 still=64 rate=500 fpu=1"
    listen A
    listen B
    there_and_back --offline 5
}

# PV needs shadow paging for its log-dirty, which Debian leaves out of Xen: there it is refused in
# one line.
scenario_pv_live() {
    create A g pv memory=256 load="mem=16 still=8 rate=300"
    listen A
    listen B
    pulse A g
    if on A "xl info" | grep -q '^virt_caps.* shadow'; then
        there_and_back --live 1
        built_early A
        built_early B
    else
        refused 2 'shadow.*--offline' A "xmigrate --live hostB g -q"
        lived_on A g
        settled A g
    fi
}
