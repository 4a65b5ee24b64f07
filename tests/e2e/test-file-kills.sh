#!/bin/bash
# SPDX-License-Identifier: MIT
# The supervisor of a --checkpoint or --save, its helper, both, or these and the rescuer, killed with
# SIGKILL at every step and at moments between: the guest runs once (or is in the file of a --save,
# and nowhere else), log-dirty is off, and under the name is the old file or a new one, whole.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
needs_stock
file_host
mkdir files

victims() { # WHO
    case $1 in
    supervisor) echo $mover ;;
    helper) pgrep -P "$mover" -f save-helper ;;
    both) echo $mover $(pgrep -P "$mover" -f save-helper) ;;
    all) echo $mover $(pgrep -P "$mover") ;;
    esac
}

# strike WHO STAGE: read events until that one comes, and kill at once.
strike() {
    local line pids=
    while read -r line; do
        echo "$line" >>seen
        case $line in
        *'"event":"'$2'"'*)
            pids=${pids:-$(victims "$1")}
            [ -z "$pids" ] || kill_at_once $pids 2>/dev/null
            : >struck
            break
            ;;
        *'"event":"round"'*) pids=${pids:-$(victims "$1")} ;;
        esac
    done
    cat >>seen
}

runs() {
    "$X" list a | awk '$2 == "g" && $7 == "running" && $8 == "off" { found = 1 } END { exit !found }'
}
one_place() { # KIND
    xf --recover >recover 2>&1
    runs || { [ "$1" = save ] && nothing_on a && ! cmp -s files/g old; }
}

begin() { # KIND
    [ -n "$("$X" list a | awk '$2 == "g"')" ] || guest a g --type pv --memory 48M --remap 300
    rm -f events seen struck
    mkfifo events
    cp old files/g
    XMIGRATE_RUN_DIR=$T/run-a "$X" run a -- "$B/xmigrate" "--$1" files/g g --json >events 2>said &
    mover=$!
    echo $mover >>pids
}

finish() { # KIND WHO STAGE
    local what="--$1, $2 killed at $3" code
    wait_for 60 has_ended
    wait $mover
    code=$?
    for _ in $(seq 100); do
        one_place "$1" && break
        sleep 0.2
    done
    one_place "$1" || fail "$what, ended with $code: $("$X" list a) $(ls -A files) $(cat said recover)"
    [ "$("$X" list a | grep -c MiB)" -le 1 ] || fail "$what: more than one: $("$X" list a)"
    ! runs || whole a g >/dev/null
    cmp -s files/g old || verify_stream xl files/g
    [ "$(ls -A files)" = g ] || fail "$what: there is $(ls -A files)"
    no_record
    echo "$what: ended with $code, $(runs && echo it runs || echo it is in the file), the file is $(cmp -s files/g old && echo old || echo new)"
}

guest a g --type pv --memory 48M --remap 300
filed --checkpoint old g
for kind in checkpoint save; do
    for who in supervisor helper both all; do
        for stage in start round suspending suspended; do
            begin $kind
            strike $who $stage <events
            [ -e struck ] || fail "it never came to $stage: $(cat said)"
            finish $kind $who $stage
        done
        for delay in 0.3 0.6; do
            begin $kind
            cat events >>seen &
            sleep $delay
            pids=$(victims $who)
            [ -z "$pids" ] || kill_at_once $pids 2>/dev/null
            finish $kind $who "$delay s"
        done
    done
done
