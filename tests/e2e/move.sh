# move.sh: what tests of xmigrate itself are written with, beside lib.sh. Two hosts, each with an
# identity and a run directory of its own, that trust each other.

# on HOST COMMAND...: on that simulated host. With $FAULT that fault (preload/fault.c) is in those of
# its processes that have $FAULT_IN in their command line.
on() (
    exec_on "$@"
)
# exec_on HOST COMMAND...: the same in place of this shell, for a process that is to be known by $!.
exec_on() {
    local host=$1
    shift
    XMIGRATE_RUN_DIR=$T/run-$host exec "$X" run "$host" -- \
        ${FAULT:+sh -c "$faulty" "$B/e2e/fault.so"} "$@"
}
faulty='LD_PRELOAD=$0:$LD_PRELOAD exec "$@"'

# xm HOST OPTION...: its xmigrate.
xm() {
    local host=$1
    shift
    on "$host" "$B/xmigrate" --config-dir "$T/etc-$host" "$@"
}

fingerprint() {
    must xm "$1" --identity
}

# trust HOST OTHER: HOST trusts OTHER.
trust() {
    must xm "$1" --trust "$(fingerprint "$2")" "$2" >/dev/null
}

# two_hosts [OPTION...]: a and b, strangers no more. Options are for both.
two_hosts() {
    host a "$@"
    host b "$@"
    mkdir -p -m 700 "$T/run-a" "$T/run-b"
    trust a b
    trust b a
}

# listen HOST [OPTION...]: starts its listener; $port is where and $listener is its pid.
listen() {
    local host=$1 log=$T/listen-$1
    shift
    rm -f "$log.out" # an earlier listener's port must not be taken for this one's
    exec_on "$host" "$B/xmigrate" \
        --config-dir "$T/etc-$host" --listen 127.0.0.1:0 "$@" >"$log.out" 2>"$log.err" &
    listener=$!
    echo $listener >>"$T/pids"
    port=
    for _ in $(seq 200); do
        port=$(sed -n 's/.*port \([0-9]*\).*/\1/p;q' "$log.out" 2>/dev/null)
        [ -z "$port" ] || return 0
        kill -0 $listener 2>/dev/null || break
        sleep 0.05
    done
    fail "the listener on $host did not start: $(cat "$log.err")"
}

# move HOST DOMAIN [OPTION...]: live to $port; what it said is in $T/move.
move() {
    local host=$1 domain=$2
    shift 2
    xm "$host" --live "127.0.0.1:$port" "$domain" "$@" >"$T/move" 2>&1 ||
        fail "moving $domain failed ($?): $(tail -n 5 "$T/move")"
}

# moved HOST OTHER DOMAIN: it runs there, whole, without log-dirty, and is gone here.
moved() {
    state_is "$2" "$3" running
    logdirty_is "$2" "$3" off
    sleep 0.2
    whole "$2" "$3"
    is_gone "$1" "$3"
}

# stayed HOST OTHER DOMAIN: it runs on here, whole, as if nothing had been.
stayed() {
    state_is "$1" "$3" running
    logdirty_is "$1" "$3" off
    sleep 0.2
    whole "$1" "$3"
    is_gone "$2" "$3"
    is_gone "$2" "$3--incoming"
    is_gone "$1" "$3--migratedaway"
}

is_gone() {
    ! "$X" list "$1" | awk -v d="$2" '$2 == d { found = 1 } END { exit !found }' ||
        fail "there is a $2 on $1: $("$X" list "$1")"
}

# moving HOST DOMAIN [OPTION...]: as move, but left to itself once round 1 is under way; what it says
# is in $T/moving.json and $T/moving.err, its pid is $mover, and it ends with `ended CODE`.
moving() {
    local host=$1 domain=$2
    shift 2
    rm -f "$T/moving.json" # what an earlier one said must not be taken for this one's
    exec_on "$host" "$B/xmigrate" --config-dir "$T/etc-$host" \
        --live "127.0.0.1:$port" "$domain" --json "$@" >"$T/moving.json" 2>"$T/moving.err" &
    mover=$!
    echo $mover >>"$T/pids"
    wait_for 20 under_way
}

under_way() {
    grep -qs '"progress"' "$T/moving.json" && return 0
    kill -0 $mover 2>/dev/null || fail "it did not begin to move: $(cat "$T/moving.err")"
    return 1
}

has_ended() {
    ! kill -0 $mover 2>/dev/null
}

ended() {
    local code
    wait_for 60 has_ended
    wait $mover
    code=$?
    [ $code -eq "$1" ] || fail "it ended with $code, not $1: $(cat "$T/moving.err")"
}

# The save helper of the move under way.
helper() {
    pgrep -P $mover -f save-helper
}

nothing_on() {
    [ "$("$X" list "$1" | wc -l)" -eq 1 ]
}

# untouched HOST OTHER DOMAIN: it stayed, the other host is empty again, no state file is left.
untouched() {
    wait_for 20 nothing_on "$2"
    stayed "$1" "$2" "$3"
    ! ls "$T/run-$1" | grep '^out-.*json' || fail "a state file is left"
}

# refused CODE WORDS HOST OPTION...: xmigrate ends with that code and says one line with the words.
refused() {
    local code=$1 words=$2 host=$3 said got
    shift 3
    said=$(XMIGRATE_RUN_DIR=$T/run-$host timeout 60 "$X" run "$host" -- "$B/xmigrate" \
        --config-dir "$T/etc-$host" "$@" 2>&1)
    got=$?
    [ $got -eq "$code" ] || fail "ended with $got, not $code: xmigrate $*: $said"
    [ "$(wc -l <<<"$said")" -eq 1 ] || fail "said more than one line: xmigrate $*: $said"
    case $said in *"$words"*) ;; *) fail "said '$said', not '$words': xmigrate $*" ;; esac
}

# not_resumed HOST DOMAIN: it was given away, and may run or have run at the other host.
not_resumed() {
    local said got
    said=$(on "$1" "$B/xmigrate" --resume "$2" 2>&1)
    got=$?
    [ $got -eq 2 ] || fail "--resume ended with $got, not 2: $said"
    case $said in *'was given to'*'it may run there'*) ;; *) fail "--resume said: $said" ;; esac
    state_is "$1" "$2" suspended
}

# wire MODE: a wire to the listener at $port (cut.py); its own port is in $T/wire.MODE.
wire() {
    rm -f "$T/wire.$1" # an earlier one's port must not be taken for this one's
    python3 "$E2E/cut.py" "$port" "$1" >"$T/wire.$1" &
    echo $! >>"$T/pids"
    wait_for 10 test -s "$T/wire.$1"
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "did not come true: $*"
        sleep 0.1
    done
}
