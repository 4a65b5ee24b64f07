# SPDX-License-Identifier: MIT
# The same guest, moved by xl and by xmigrate between the same two hosts, in turn and both ways. It
# reports; it fails only when a move fails. Times are those of an emulated machine: they compare,
# and say nothing else.

LONG+=(compare_calm compare_busy compare_hvm)

# Bytes that went onto the wire at a host so far, and CPU seconds of both dom0s.
meter_bytes() { must "$1" "cat /sys/class/net/eth0/statistics/tx_bytes"; }
meter_cpu() {
    local host
    for host in A B; do must $host "xl list | awk '\$1 == \"Domain-0\" { print \$NF }'"; done |
        awk '{ sum += $1 } END { print sum }'
}

# longest_gap HOST NAME TICK: the longest time without running, by the guest's clock, in the lines
# since that tick.
longest_gap() {
    on "$1" "tr -d '\r' </run/console/\$(xl domid $2) | grep '^tick .* end$'" | awk -v after="$3" '
        $2 > after { for (i = 1; i < NF; i++) if ($i == "gap_ms" && $(i + 1) > max) max = $(i + 1) }
        END { print max + 0 }'
}

# by_xl FROM NAME / by_xmigrate FROM NAME: a move, timed over there; $rounds is set. Stock Xen tells
# nobody how many it made: six at most.
by_xl() {
    local output
    output=$(must "$1" "read start rest </proc/uptime
        xl migrate -s reach $2 host$(other_host "$1") || exit
        read end rest </proc/uptime
        echo took \$start \$end" 600) || exit 1
    echo "$output"
    seconds=$(awk '$1 == "took" { print $3 - $2 }' <<<"$output")
    rounds=-
}
by_xmigrate() {
    local output
    output=$(must "$1" "read start rest </proc/uptime
        xmigrate --live host$(other_host "$1") $2 --lanes 4 || exit
        read end rest </proc/uptime
        echo took \$start \$end" 600) || exit 1
    echo "$output"
    seconds=$(awk '$1 == "took" { print $3 - $2 }' <<<"$output")
    rounds=$(awk '$1 == "rounds" { print $2 + 0 }' <<<"$output")
}

# The medians of each one's moves: lines of `who bytes rounds cpu seconds gap_ms`.
report_medians() { # FILE
    awk 'function median(list,  v, k, i, j, t) {
             k = split(list, v, " ")
             for (i = 1; i <= k; i++) for (j = i + 1; j <= k; j++)
                 if (v[j] + 0 < v[i] + 0) { t = v[i]; v[i] = v[j]; v[j] = t }
             return k % 2 ? v[(k + 1) / 2] : (v[k / 2] + v[k / 2 + 1]) / 2
         }
         { n[$1]++; for (i = 2; i <= NF; i++) of[$1, i] = of[$1, i] " " $i }
         END {
             printf "report: %-9s %5s %9s %7s %11s %8s %12s\n", "", "moves", "MiB sent", "rounds",
                 "dom0 CPU s", "seconds", "downtime ms"
             for (who in n)
                 printf "report: %-9s %5d %9.1f %7s %11.1f %8.1f %12d\n", who, n[who],
                     median(of[who, 2]) / 1048576, of[who, 3] ~ /-/ ? "-" : median(of[who, 3]),
                     median(of[who, 4]), median(of[who, 5]), median(of[who, 6])
         }' "$1"
}

compare() { # TURNS CREATE...: what starts the guest g on A
    local turn who from host bytes cpu moves=$LAB_DIR/moves
    rm -f "$moves"
    "${@:2}"
    for host in A B; do
        must $host "hostclock /host/clock"
        listen $host
        stock_receiver $host
    done
    for ((turn = 0; turn < $1; turn++)); do
        for who in xl xmigrate; do
            for from in A B; do
                pulse $from g
                bytes=$(meter_bytes $from) cpu=$(meter_cpu)
                by_$who $from g
                bytes=$(($(meter_bytes $from) - bytes))
                cpu=$(meter_cpu | awk -v before="$cpu" '{ print $1 - before }')
                host=$(other_host $from)
                arrived $host g
                echo "$who $bytes $rounds $cpu $seconds $(longest_gap $host g "$pulse_tick")" \
                    | tee -a "$moves"
            done
        done
    done
    report_medians "$moves"
}

calm="mem=16 still=64 rate=500"
scenario_compare_calm() { compare 2 create A g pvh memory=256 load="$calm"; }
# Faster than the emulated wire: neither can converge.
scenario_compare_busy() { compare 2 create A g pvh memory=256 load="mem=32 still=32 rate=20000"; }
# Both with QEMU's start in the pause.
scenario_compare_hvm() { compare "${TURNS:-2}" create_hvm_linux A g "$calm"; }
