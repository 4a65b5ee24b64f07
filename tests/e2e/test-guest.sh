#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests write as many pages a second as they are told, where their pattern says, and find damage
# by themselves.
. "$E2E/lib.sh"
. "$E2E/move.sh"
host a
id() { "$X" id a g; }
writes() { must "$X" writes a g; }

# versions NAME: of a pvh guest of 16 MiB with one vCPU, whose table is four pages from pfn 7 on.
versions() {
    local page
    for page in 7 8 9 10; do
        must "$X" run a -- "$B/e2e/poke" "$(id)" read $page part
        cat part
    done >"$1"
    rm part
}

wrote() {
    [ "$(writes)" -gt "$1" ]
}

# pattern NAME OPTION...: let it write, so much that chance leaves no page out, and look where it did.
pattern() {
    local name=$1
    shift
    guest a g --type pvh --memory 16M --vcpus 1 --dirty max --pattern "$@"
    [ $name = idle ] && sleep 0.5 || wait_for 60 wrote 100000
    must "$X" rate a g 0
    sleep 0.1
    versions table
    must "$X" destroy a g
    python3 - $name <<'END' || fail "pattern $name"
import struct, sys
versions = struct.unpack('<4096I', open('table', 'rb').read())
writes = [version - 1 for version in versions if version] # the guest's own tables have none
total, tenth = sum(writes), len(writes) // 10
hot = sum(writes[:tenth]) / total if total else 0
assert sys.argv[1] == 'idle' or total > 100000, f'{total} writes'
assert {
    'idle': total == 0,
    'uniform': 0.08 < hot < 0.12 and min(writes) > 0,
    'hot': 0.88 < hot < 0.94 and min(writes[tenth + 1:]) < min(writes[:tenth]),
    'sequential': max(writes) - min(writes) <= 1,
    'trace': all((n > 0) == (page in (3, 5, 700)) for page, n in enumerate(writes)) and
             abs(writes[5] - 2 * writes[3]) <= 2,
}[sys.argv[1]], f'{total} writes, {hot:.3f} of them to the first tenth, {writes[:10]}'
END
}
pattern idle idle
pattern uniform uniform
pattern hot hot
pattern sequential sequential
printf '3\n5\n700\n5\n' >trace
pattern trace file:trace

# as_told RATE: for two seconds never faster, and slower only where the machine has no time for it.
as_told() {
    local start end before after expected
    start=$(date +%s%N) before=$(writes)
    sleep 2
    after=$(writes) end=$(date +%s%N)
    expected=$(($1 * ((end - start) / 1000000) / 1000))
    said="$((after - before)) writes, not $expected"
    [ $((after - before)) -le $((expected + expected / 20)) ] || fail "$said"
    [ $((after - before)) -ge $((expected * 7 / 10)) ]
}
for rate in 0 500 5000; do
    guest a g --type pv --memory 32M --dirty $rate
    sleep 0.3
    as_told $rate || as_told $rate || as_told $rate || fail "three times $said"
    must "$X" destroy a g
done

# A page that is not what the guest wrote, found by the guest itself, also after a suspend.
guest a g --type pvh --memory 16M --vcpus 1 --dirty 0
must "$X" suspend a g
must "$X" resume a g
head -c 4096 /dev/urandom >garbage
must "$X" run a -- "$B/e2e/poke" "$(id)" write 0x345 garbage
must "$X" rate a g 20000
wait_for 20 grep -q 'guest: page 0x345 .* is not what version 1 of it was' h/a/log
"$X" verify a g >said 2>&1 && fail "verify knows nothing of it"
grep -q 0x345 said || fail "verify said $(cat said)"
