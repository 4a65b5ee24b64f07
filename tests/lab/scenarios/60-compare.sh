# SPDX-License-Identifier: MIT
# The same guest, moved by xl and by xmigrate between the same two hosts, in turn and both ways; with
# LAB_HOSTS=A, from a host to itself. It reports, with the goals; it fails only when a move fails.
# Times are those of an emulated machine: they compare, and say nothing else.

LONG+=(compare_calm compare_devices compare_busy compare_hvm compare_hvm_linux)
LIMITS[compare_hvm]=2400 LIMITS[compare_hvm_linux]=3600

# Bytes that went onto the wire at a host so far, and CPU seconds of all dom0s.
meter_bytes() {
    local wire=eth0
    [ "$(other_host "$1")" != "$1" ] || wire=lo
    must "$1" "cat /sys/class/net/$wire/statistics/tx_bytes"
}
meter_cpu() {
    local host
    for host in "${HOSTS[@]}"; do
        must "$host" "xl list | awk '\$1 == \"Domain-0\" { print \$NF }'"
    done | awk '{ sum += $1 } END { print sum }'
}

# longest_gap HOST NAME TICK: the longest time without running, by the guest's clock, in the lines
# since that tick.
longest_gap() {
    on "$1" "tr -d '\r' </run/console/\$(xl domid $2) | grep '^tick .* end$'" | awk -v after="$3" '
        $2 > after { for (i = 1; i < NF; i++) if ($i == "gap_ms" && $(i + 1) > max) max = $(i + 1) }
        END { print max + 0 }'
}

watch_pauses() { # NAME: on all hosts, until host-clean
    local host uuid
    uuid=$(on A "basename \$(xenstore-read /local/domain/\$(xl domid $1)/vm)") || fail "no UUID"
    for host in "${HOSTS[@]}"; do
        must "$host" "renice -n -20 -p \$\$ >/dev/null; setsid pausewatch $uuid >/tmp/pauses 2>&1 </dev/null & true"
    done
}

# last_pause FROM TO: ms from seen suspended to unpaused, of the last move.
last_pause() {
    local from to
    from=$(on "$1" "grep suspended /tmp/pauses | tail -n 1") || fail "$1 saw no suspend: $from"
    to=$(on "$2" "grep unpaused /tmp/pauses | tail -n 1") || fail "$2 saw no unpause: $to"
    echo $((${to#* } - ${from#* }))
}

# by_xl FROM NAME / by_xmigrate FROM NAME: a move, timed over there; $rounds is set. Stock Xen tells
# nobody how many it made: six at most.
by_xl() {
    timed "$1" "xl migrate -s reach $2 host$(other_host "$1")"
    rounds=-
}
by_xmigrate() {
    timed "$1" "xmigrate --live host$(other_host "$1") $2"
    rounds=$(awk '$1 == "rounds" { print $2 + 0 }' <<<"$output")
}
timed() { # HOST COMMAND: $seconds and $output are set
    output=$(must "$1" "read start rest </proc/uptime
        $2 || exit
        read end rest </proc/uptime
        echo took \$start \$end" 600) || exit 1
    echo "$output"
    seconds=$(awk '$1 == "took" { print $3 - $2 }' <<<"$output")
}

# The medians of each one's moves (lines of `who pause gap thaw seconds bytes rounds cpu`), what
# ours are of xl's, and the goals for the first two and the total time.
report_medians() { # FILE PAUSE GAP SECONDS
    awk -v goals="$2 $3 - $4" '
        function median(list,  v, k, i, j, t) {
            k = split(list, v, " ")
            for (i = 1; i <= k; i++) for (j = i + 1; j <= k; j++)
                if (v[j] + 0 < v[i] + 0) { t = v[i]; v[i] = v[j]; v[j] = t }
            return k % 2 ? v[(k + 1) / 2] : (v[k / 2] + v[k / 2 + 1]) / 2
        }
        function row(who,  i) {
            for (i = 2; i <= 8; i++) m[who, i] = of[who, i] ~ /-/ ? "-" : median(of[who, i])
            printf "report: %-9s %5d %9d %9d %9d %8.1f %9.1f %7s %11.1f\n", who, n[who],
                m[who, 2], m[who, 3], m[who, 4], m[who, 5], m[who, 6] / 1048576, m[who, 7],
                m[who, 8]
        }
        function part(i) { return m["xl", i] + 0 ? m["xmigrate", i] / m["xl", i] : 0 }
        { n[$1]++; for (i = 2; i <= NF; i++) of[$1, i] = of[$1, i] " " $i }
        END {
            printf "report: %-9s %5s %9s %9s %9s %8s %9s %7s %11s\n", "", "moves", "pause ms",
                "clock ms", "freeze ms", "seconds", "MiB sent", "rounds", "dom0 CPU s"
            row("xl")
            row("xmigrate")
            printf "report: %-9s %5s %9.2f %9.2f %9.2f %8.2f %9.2f %7s %11.2f\n", "of xl'\''s",
                "", part(2), part(3), part(4), part(5), part(6), "", part(8)
            split(goals, goal, " ")
            split("from suspended to unpaused,by the guest'\''s clock,-,the whole move", what, ",")
            for (i = 1; i <= 4; i++) if (goal[i] != "-")
                printf "report: goal: %s, at most %s of xl'\''s: %s\n", what[i], goal[i],
                    part(i + 1) <= goal[i] + 0 ? "met" : "NOT MET"
        }' "$1"
}

# Of the same lines, with two columns more: what of a pause was QEMU's, from its process's start to its devices
# and from there until it ran, and what the rest of ours is of the rest of xl's. Of a QEMU that was started early
# both are 0, so the loading of its state counts as ours.
report_qemu() { # FILE
    awk '
        function median(list,  v, k, i, j, t) {
            k = split(list, v, " ")
            for (i = 1; i <= k; i++) for (j = i + 1; j <= k; j++)
                if (v[j] + 0 < v[i] + 0) { t = v[i]; v[i] = v[j]; v[j] = t }
            return k % 2 ? v[(k + 1) / 2] : (v[k / 2] + v[k / 2 + 1]) / 2
        }
        { start[$1] = start[$1] " " $9; load[$1] = load[$1] " " $10
          less_load[$1] = less_load[$1] " " $2 - $10; less[$1] = less[$1] " " $2 - $9 - $10 }
        function row(who) {
            printf "report: %-9s %9d %9d %14d %14d\n", who, median(start[who]), median(load[who]),
                median(less_load[who]), median(less[who])
        }
        function goal(what, ours, xl) {
            printf "report: goal: %s, at most 0.3 of xl'\''s: %.2f, %s\n", what, ours / xl,
                ours <= 0.3 * xl ? "met" : "NOT MET"
        }
        END {
            printf "report: %-9s %9s %9s %14s %14s\n", "QEMU, ms", "start", "load",
                "less its load", "and its start"
            row("xl")
            row("xmigrate")
            goal("the pause less QEMU'\''s load", median(less_load["xmigrate"]), median(less_load["xl"]))
            goal("the pause less QEMU'\''s start and load", median(less["xmigrate"]), median(less["xl"]))
        }' "$1"
}

report_machine() {
    local how="between two hosts"
    [ ${#HOSTS[@]} -gt 1 ] || how="from a host to itself${LAB_ICOUNT:+, in virtual time}"
    echo "report: $how; $(date -u +%F), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)," \
        "$(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
}

# compare MOVES PAUSE GAP SECONDS CREATE...: so many of each; at most so much of xl's, or -; what
# starts the guest g on A.
compare() {
    local who from host bytes cpu gap pause n qemu= moves=$LAB_DIR/moves
    rm -f "$moves"
    "${@:5}"
    for host in "${HOSTS[@]}"; do
        must "$host" "hostclock /host/clock"
        listen "$host"
        stock_receiver "$host"
    done
    watch_pauses g
    [[ $5 != create_hvm* ]] || watch_qemu
    for ((n = 0; n < $1; n += ${#HOSTS[@]})); do
        for who in xl xmigrate; do
            for from in "${HOSTS[@]}"; do
                host=$(other_host "$from")
                [[ $5 != create_hvm* ]] || must "$host" ": >/tmp/starts"
                pulse "$from" g
                bytes=$(meter_bytes "$from") cpu=$(meter_cpu)
                "by_$who" "$from" g
                bytes=$(($(meter_bytes "$from") - bytes))
                cpu=$(meter_cpu | awk -v before="$cpu" '{ print $1 - before }')
                arrived "$host" g
                [[ $5 != create_hvm* ]] || qemu=$(start_of_qemu "$host" | awk '{ print $4 - $2, $6 }') || exit 1
                pause=$(last_pause "$from" "$host") || exit 1
                gap=$(longest_gap "$host" g "$pulse_tick")
                echo "$who $pause $gap $((gap - pause)) $seconds $bytes $rounds $cpu $qemu" |
                    tee -a "$moves"
            done
        done
    done
    report_machine
    report_medians "$moves" "$2" "$3" "$4"
    [ -z "$qemu" ] || report_qemu "$moves"
}

calm="mem=16 still=64 rate=500 gap=10" busy="mem=32 still=32 rate=20000 gap=10"
scenario_compare_calm() {
    compare "${MOVES:-8}" 0.25 0.45 0.5 create A g pvh memory=256 load="$calm"
}
scenario_compare_devices() {
    compare "${MOVES:-8}" 0.12 0.30 0.5 create A g pvh memory=256 load="$calm" devices=phy
}
# Faster than the emulated wire: neither can converge.
scenario_compare_busy() {
    compare "${MOVES:-8}" 0.42 0.50 0.7 create A g pvh memory=256 load="$busy"
}
# xl's with QEMU's start in the pause. The first has no clock of its own.
scenario_compare_hvm() { compare "${MOVES:-8}" - - 1 create_hvm A g; }
scenario_compare_hvm_linux() { compare "${MOVES:-4}" - - 1 create_hvm_linux A g "$calm"; }
