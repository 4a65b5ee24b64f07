#!/bin/bash
# SPDX-License-Identifier: MIT
# The engine, which has a guest's memory and reads what the other host sends, has given up what it
# does not need, at both ends and in drop-in use: capabilities, new privileges, files, system calls.
# Nothing was refused to it that it asked for, and the guest is brought back all the same.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts

# is STATUS FIELD VALUE: as /proc/PID/status has it.
is() {
    local got
    got=$(awk -v field="$2:" '$1 == field { print $2 }' "$1")
    [ "$got" = "$3" ] || fail "$1: $2 is '$got', not '$3'"
}

confined() { # PID: in all of its threads
    local field status
    for status in /proc/$1/task/*/status; do
        for field in CapInh CapPrm CapEff CapBnd CapAmb; do
            is "$status" $field 0000000000000000
        done
        is "$status" NoNewPrivs 1
        [ -n "$SAN" ] || is "$status" Seccomp 2
    done
    [ -z "$SAN" ] || return 0
    [ ! -e "/proc/$1/root/etc" ] && [ -d "/proc/$1/root/run" ] ||
        fail "it sees $(ls "/proc/$1/root/")"
    ! touch "/proc/$1/root/new" 2>/dev/null || fail "its root can be written to"
    grep -q '^xmigrate / tmpfs ro,nosuid,nodev,noexec' "/proc/$1/mounts" ||
        fail "its root is mounted so: $(grep '^xmigrate' "/proc/$1/mounts")"
}

has_dropped() { # PID
    grep -q '^NoNewPrivs:.*1' "/proc/$1/status" 2>/dev/null
}

refused_calls() {
    dmesg 2>/dev/null | grep -c "type=1326.*exe=\"$B/xmigrate-save-helper\""
}

# The arrivals' process, and its engine, which is not libxl's child.
receiver() { pgrep -x -P "$listener" xmigrate; }
engine() { pgrep -n -s "$(receiver)" -f save-helper; }

before=$(refused_calls)
listen b
for type in pv hvm; do
    guest a g --type $type --memory 64M
    moving a g --bandwidth 100M
    confined "$(helper)"
    confined "$(engine)"
    ended 0
    moved a b g
    must "$X" destroy b g
done

# Left alone it brings the guest back, and has --recover put the rest right.
guest a g --type hvm --memory 64M
moving a g --bandwidth 100M
keeper=$(pgrep -x -P "$(helper)" xmigrate-keeper) || fail "there is no keeper"
confined "$(helper)"
kill_at_once "$mover" $(pgrep -x -P "$mover" xmigrate)
wait_for 20 eval '! [ -e /proc/$keeper ]'
untouched a b g
must "$X" destroy a g

# dropin SAVES RESTORES SAVE-HELPER RESTORE-HELPER: the first that is ours is looked at, while the
# other one lets it wait.
ours=$B/xmigrate-save-helper
printf '#!/bin/sh\nsleep 2\nexec %s "$@"\n' "$ours" >late
chmod +x late
dropin() { # SAVE-HELPER RESTORE-HELPER WHICH
    local pid mover
    guest a g --type pvh --memory 64M
    "$X" migrate a g b --live --helper "$1" --helper-to "$2" >said 2>&1 &
    mover=$!
    echo $mover >>pids
    wait_for 10 eval "pgrep -P $mover -f -- 'xmigrate-save-helper .*$3' >/dev/null"
    pid=$(pgrep -P $mover -f -- "xmigrate-save-helper .*$3")
    wait_for 10 has_dropped "$pid"
    confined "$pid"
    wait $mover || fail "failed: $(cat said)"
    whole b g
    must "$X" destroy b g
}
dropin "$ours" "$T/late" --save-domain
dropin "$T/late" "$ours" --restore-domain
[ "$(refused_calls)" -eq "$before" ] ||
    fail "refused: $(dmesg | grep 'type=1326.*save-helper' | grep -o 'syscall=[0-9]*' | sort | uniq -c)"
