#!/bin/bash
# SPDX-License-Identifier: MIT
# No old write after the move: the guest is given away only when the backends of its disks have
# answered everything, and if they do not, it runs on. Devices go along and nothing of them is left.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
allows b disks.pdev_path
listen b

# disks: whole and in every shape of ring.
image=$T/disk.img
truncate -s 1M "$image"
disks=()
for _ in 1 2 3; do disks+=(--disk "qdisk:$image"); done

# How long the disks took in the last move, and its whole pause, in milliseconds.
disks_ms() {
    python3 - "$T/done.json" <<'END'
import json, sys
for line in open(sys.argv[1]):
    event = json.loads(line)
    if event['event'] == 'done':
        print(event['downtime']['disks_ns'] // 10**6, event['downtime_ns'] // 10**6)
END
}

attached() { # HOST NAME...: what is attached there
    local host=$1
    shift
    [ "$("$X" devices "$host" | awk '{ print $2 }' | xargs)" = "$*" ] ||
        fail "on $host is attached: $("$X" devices "$host")"
}

move_with() { # NAME TYPE
    xm a --live "127.0.0.1:$port" "$1" --json >"$T/done.json" 2>"$T/move" ||
        fail "moving $1 failed ($?): $(tail -n 5 "$T/move")"
    moved a b "$1"
    attached a
}

for type in pv pvh; do
    # Everything is answered: it costs nothing.
    guest a "quick-$type" --type $type "${disks[@]}" --vif
    attached a xvda xvdb xvdc vif0
    move_with "quick-$type"
    attached b xvda xvdb xvdc vif0
    read -r waited pause < <(disks_ms)
    [ "$waited" -lt 200 ] || fail "waited for disks that owed nothing: $waited ms"
    must "$X" destroy b "quick-$type"
    attached b

    # Answered after a second and a half: so long lasts the pause, and no longer than it has to.
    guest a "slow-$type" --type $type "${disks[@]}" --disk-delay 1500ms
    move_with "slow-$type"
    read -r waited pause < <(disks_ms)
    [ "$pause" -ge 1500 ] || fail "$type was started $pause ms after the suspend began, before its disks were done"
    [ "$waited" -ge 500 ] || fail "the summary says $waited ms for the disks of $pause"
    must "$X" destroy b "slow-$type"
done

# Which disks are attached while the guest still runs: none that is a file, but as either host is told.
# early_is WORD OPTION OPTION: of the source and of the destination; whether it was built early.
early_is() {
    kill "$listener"
    wait "$listener" 2>/dev/null
    # shellcheck disable=SC2086 # words on purpose
    listen b -v $3
    # shellcheck disable=SC2086
    xm a --live "127.0.0.1:$port" disks -v --json $2 >"$T/done.json" 2>"$T/move" ||
        fail "moving it failed ($?): $(tail -n 5 "$T/move")"
    moved a b disks
    case $1 in
    early) grep -q 'ready for disks, which still runs' "$T/listen-b.err" || fail "$2 $3: it was built late" ;;
    late) ! grep -q 'ready for disks, which still runs' "$T/listen-b.err" || fail "$2 $3: it was built early" ;;
    esac
    must "$X" destroy b disks
}
for case in "late||" "early|--early-disks all|--early-disks all" "late|--early-disks all|" "late||--early-disks all" \
    "late|--early-disks none|--early-disks all" "late|--early-disks all|--early-disks none"; do
    IFS='|' read -r how here there <<<"$case"
    guest a disks --type pvh --memory 16M --disk "qdisk:$image"
    early_is "$how" "$here" "$there"
done
grep -q 'disk xvda.*--early-disks none' "$T/listen-b.err" || fail "it does not say why: $(cat "$T/listen-b.err")"

# Never answered, in one ring of many: it runs on here, and nothing is left there.
guest a stuck --type pvh --disk "qdisk:$image" --vif --disk-delay never
xm a --live "127.0.0.1:$port" stuck --start-timeout 6s >"$T/said" 2>&1
[ $? -eq 3 ] || fail "ended with $?, not 3: $(cat "$T/said")"
grep -q 'disk xvda has not answered all requests within 3.00 s of the suspend (3 are open)' "$T/said" ||
    fail "said $(cat "$T/said")"
stayed a b stuck
attached a xvda vif0
attached b

# A second try meets what the first left open.
xm a --live "127.0.0.1:$port" stuck --start-timeout 4s >"$T/said" 2>&1
[ $? -eq 3 ] || fail "ended with $?, not 3: $(cat "$T/said")"
grep -q '(6 are open)' "$T/said" || fail "said $(cat "$T/said")"
stayed a b stuck

# What the page cache holds of a file is written out, also beneath a loop device that blkback serves.
loop=$(losetup -f --show "$image" 2>/dev/null) || exit 0
trap 'exec 9<&-; losetup -d "$loop"' EXIT
exec 9<>"$loop" # its last close would write it out as well
written() { awk '{ print $7 }' "/sys/block/${loop#/dev/}/stat"; }
echo "disk $loop" >>"$T/etc-b/policy"
kill -HUP $listener
guest a looped --type pvh --disk "phy:$loop"
before=$(written)
dd if=/dev/urandom of="$loop" bs=64k count=8 conv=notrunc status=none
move a looped
moved a b looped
[ "$(written)" -ge $((before + 1024)) ] ||
    fail "before the move $before sectors were written to $loop, after it $(written)"
