# SPDX-License-Identifier: MIT
# file.sh: what tests of files of saved guests are written with, beside lib.sh and move.sh. One host, a.

XL=$STOCK_DIR/bin/xl

file_host() {
    host a "$@"
    mkdir -p -m 700 "$T/run-a"
}

# xf OPTION...: xmigrate on a.
xf() {
    on a "$B/xmigrate" "$@"
}

# filed OPTION...: that, which succeeds; what it said is in ./said.
filed() {
    xf "$@" >said 2>&1 || fail "xmigrate $* failed ($?): $(tail -n 5 said)"
}

# file_refused CODE WORDS OPTION...: it ends with that code and says one line with the words.
file_refused() {
    local code=$1 words=$2 said got
    shift 2
    said=$(timeout 60 env XMIGRATE_RUN_DIR="$T/run-a" "$X" run a -- "$B/xmigrate" "$@" 2>&1)
    got=$?
    [ $got -eq "$code" ] || fail "ended with $got, not $code: xmigrate $*: $said"
    [ "$(wc -l <<<"$said")" -eq 1 ] || fail "said more than one line: xmigrate $*: $said"
    case $said in *"$words"*) ;; *) fail "said '$said', not '$words': xmigrate $*" ;; esac
}

# lives DOMAIN: it runs, whole, without log-dirty.
lives() {
    state_is a "$1" running
    logdirty_is a "$1" off
    sleep 0.2
    whole a "$1"
}

# nothing_left [NAME...]: beside those in ./files there is nothing, and no state.
nothing_left() {
    [ "$(ls -A files | sort | tr '\n' ' ')" = "$(printf '%s\n' "$@" | sort | tr '\n' ' ')" ] ||
        fail "in the directory is: $(ls -A files)"
    no_record
}

no_record() {
    ! ls "$T/run-a" | grep -E '^(out|in)-.*json' || fail "a record is left"
}

has_monitor() {
    pgrep -f "xmigrate --monitor $("$X" id a "$1") " >/dev/null
}
