#!/bin/bash
# SPDX-License-Identifier: MIT
# Moves from one host share its bandwidth: evenly, and anew when one comes, goes, or wants less.
# deadline: 180
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
names='first second third'
for name in $names; do
    memory=64M
    [ $name != first ] || memory=128M
    guest a $name --type pvh --vcpus 1 --memory $memory --dirty 0
done
listen b

policy() { (umask 077 && echo "bandwidth $1" >etc-a/policy.new && mv etc-a/policy.new etc-a/policy); }
# It takes a minute at least to move them all like this.
policy 16M

declare -A pid
# begin NAME: its bandwidth of its own lets it go without a turn.
begin() {
    xmigrate_on a --live "127.0.0.1:$port" "$1" --lanes 1 --compress none --bandwidth 1G --json
    launch "$1.json" "$1.err" "${command[@]}"
    pid[$1]=$launched
}
# told NAME FIELD: what --status says of it.
told() { on a "$B/xmigrate" --status "$1" --json 2>/dev/null | grep -o "\"$2\":[0-9]*" | grep -o '[0-9]*$'; }
# Within 15 %: on a busy machine one may not use all of its share.
share_is() { awk -v is="$(told "$1" share_bits_per_s)" -v of="$2" 'BEGIN { exit !(is > 0.85 * of && is < 1.15 * of) }'; }
share_becomes() { wait_for 30 share_is "$1" "$2"; }

began_ms=$(date +%s%3N)
begin first
share_becomes first 16000000
begin second
begin third
for name in $names; do share_becomes $name 5333333; done

# What one cannot use is for the others.
must on a "$B/xmigrate" --set third bandwidth=4M
share_becomes third 4000000
share_becomes first 6000000
share_becomes second 6000000
must on a "$B/xmigrate" --set third bandwidth=none
for name in $names; do share_becomes $name 5333333; done

sent_more() { [ "$(told "$1" wire_bytes)" -gt 100000 ]; }
for name in $names; do wait_for 30 sent_more $name; done
sum=0
for name in $names; do sum=$((sum + $(told $name wire_bytes))); done
took_ms=$(($(date +%s%3N) - began_ms))
[ $sum -le $((took_ms * 2000 * 115 / 100 + 1000000)) ] || fail "sent $sum bytes in $took_ms ms"

# One that was killed needs nothing any more.
kill_at_once "${pid[second]}" $(pgrep -P "${pid[second]}" -f save-helper)
share_becomes first 8000000
share_becomes third 8000000
must on a "$B/xmigrate" --cancel third
share_becomes first 16000000

policy 24M
share_becomes first 24000000
policy 10G
wait_for 60 eval '! kill -0 ${pid[first]} 2>/dev/null'
wait "${pid[first]}" || fail "it ended with $?: $(cat first.err)"
moved a b first
stayed a b third
wait_for 20 eval '[ -z "$(ls run-a | grep -e sharing -e after- -e moving)" ]'

# A file that makes no sense is no limit that was left out.
policy much
refused 2 'policy line 1: bandwidth wants' a --live "127.0.0.1:$port" third
stayed a b third
