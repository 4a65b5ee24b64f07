# SPDX-License-Identifier: MIT
# file-kills.sh: processes of a --checkpoint or --save of guest g on a into files/g, killed. Beside lib.sh,
# move.sh and file.sh; `old` is the file that has the name before. The test says `have_guest`, which makes
# g if it is not there, `is_whole FILE`, and the words that it writes with, in $words.

victims() { # WHO
    case $1 in
    supervisor) echo $mover ;;
    helper) pgrep -P "$mover" -f save-helper ;;
    both) echo $mover $(pgrep -P "$mover" -f save-helper) ;;
    all) echo $mover $(pgrep -P "$mover") ;;
    esac
}

runs() {
    "$X" list a | awk '$2 == "g" && $7 == "running" && $8 == "off" { found = 1 } END { exit !found }'
}
one_place() { # KIND
    xf --recover >recover 2>&1
    runs || { [ "$1" = save ] && nothing_on a && ! cmp -s files/g old; }
}

# --recover leaves what a helper still has in its hands: it may be a moment until all is put away.
put_away() { # KIND
    one_place "$1" && [ "$(ls -A files)" = g ] && ! ls "$T/run-a" | grep -qE '^(out|in)-.*json'
}

begin() { # KIND
    [ -n "$("$X" list a | awk '$2 == "g"')" ] || have_guest
    rm -f events seen struck
    mkfifo events
    cp old files/g
    # shellcheck disable=SC2086 # words
    XMIGRATE_RUN_DIR=$T/run-a "$X" run a -- "$B/xmigrate" "--$1" files/g g --json $words >events 2>said &
    mover=$!
    echo $mover >>pids
}

finish() { # KIND WHO STAGE
    local what="--$1, $2 killed at $3" code
    wait_for 60 has_ended
    wait $mover
    code=$?
    for _ in $(seq 100); do
        put_away "$1" && break
        sleep 0.2
    done
    one_place "$1" || fail "$what, ended with $code: $("$X" list a) $(ls -A files) $(cat said recover)"
    [ "$("$X" list a | grep -c MiB)" -le 1 ] || fail "$what: more than one: $("$X" list a)"
    ! runs || whole a g >/dev/null
    cmp -s files/g old || is_whole files/g
    [ "$(ls -A files)" = g ] || fail "$what: there is $(ls -A files)"
    no_record
    echo "$what: ended with $code, $(runs && echo it runs || echo it is in the file), the file is $(cmp -s files/g old && echo old || echo new)"
}

# strike_all "KIND..." "WHO..." EARLY STAGE...: each of them at each stage, and in between. EARLY: as for
# strike().
strike_all() {
    local kinds=$1 victims=$2 early=$3 kind who stage delay
    shift 3
    for kind in $kinds; do
        for who in $victims; do
            for stage; do
                begin $kind
                strike $who $stage $early <events
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
}
