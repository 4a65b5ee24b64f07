# SPDX-License-Identifier: MIT
# move.sh: what tests of xmigrate itself are written with, beside lib.sh. Two hosts, each with an
# identity and a run directory of its own, that trust each other.

# The network namespace of a host (a file), if it has one of its own; see link.sh.
declare -A network=()

# on HOST COMMAND...: on that simulated host.
on() {
    command_on "$@"
    "${command[@]}"
}

# command_on HOST COMMAND...: what runs it there is in $command, to be started in another way. With
# $FAULT that fault (preload/fault.c) is in those of its processes that have $FAULT_IN in their
# command line.
command_on() {
    command=(env XMIGRATE_RUN_DIR="$T/run-$1" ${network[$1]:+nsenter --net="${network[$1]}"}
        "$X" run "$1" -- ${FAULT:+sh -c "$faulty" "$B/e2e/fault.so"} "${@:2}")
}
faulty='LD_PRELOAD=$0:$LD_PRELOAD exec "$@"'

# xmigrate_on HOST OPTION...: the same for its xmigrate.
xmigrate_on() {
    command_on "$1" "$B/xmigrate" --config-dir "$T/etc-$1" "${@:2}"
}

# xm HOST OPTION...: its xmigrate.
xm() {
    xmigrate_on "$@"
    "${command[@]}"
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

# allows HOST FIELD: so its policy says, where the test is about something else. Before it listens.
allows() {
    (umask 077 && echo "allow $2" >>"$T/etc-$1/policy")
}

# listen HOST [OPTION...]: starts its listener; $port is where and $listener is its pid.
listen() {
    listen_at "$1" 127.0.0.1:0 "${@:2}"
}

# listen_at HOST ADDRESS [OPTION...]: the same at an address of that host.
listen_at() {
    local log=$T/listen-$1
    xmigrate_on "$1" --listen "$2" "${@:3}"
    launch "$log.out" "$log.err" "${command[@]}"
    listener=$launched
    wait_for 30 has_said "$listener" port "$log.out"
    port=$(sed -n 's/.*port \([0-9]*\).*/\1/p;q' "$log.out")
    [ -n "$port" ] || fail "the listener on $1 did not start: $(cat "$log.err")"
}

# move HOST DOMAIN [OPTION...]: live to $port; what it said is in $T/move.
move() {
    local host=$1 domain=$2
    shift 2
    xm "$host" --live "127.0.0.1:$port" "$domain" "$@" >"$T/move" 2>&1 ||
        fail "moving $domain failed ($?): $(tail -n 5 "$T/move")"
}

# is_called HOST DOMAIN: a domain there has that name.
is_called() {
    "$X" list "$1" | awk -v d="$2" '$2 == d { found = 1 } END { exit !found }'
}

# moved HOST OTHER DOMAIN: it runs there, whole, without log-dirty, and is gone here. It gets its name
# when the source has said that it has heard of it.
moved() {
    wait_for 20 is_called "$2" "$3"
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
    ! is_called "$1" "$2" ||
        fail "there is a $2 on $1: $("$X" list "$1")"
}

# begin_move HOST OPTION...: its xmigrate, left to itself; what it says is in $T/moving.json and
# $T/moving.err, its pid is $mover, and it ends with `ended CODE`.
begin_move() {
    xmigrate_on "$@" --json
    launch "$T/moving.json" "$T/moving.err" "${command[@]}"
    mover=$launched
}

# moving HOST DOMAIN [OPTION...]: as move, but left to itself, likewise, once round 1 is under way.
moving() {
    begin_move "$1" --live "127.0.0.1:$port" "${@:2}"
    wait_for 20 has_said "$mover" '"progress"' "$T/moving.json"
    grep -qs '"progress"' "$T/moving.json" || fail "it did not begin to move: $(cat "$T/moving.err")"
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

# kill_at_once PID...: so that none of them can do anything about another's death.
kill_at_once() {
    kill -STOP "$@"
    kill -KILL "$@"
}

# strike WHO STAGE EARLY: reads a move's events (into seen) until STAGE comes, and kills at once whom the
# test's `victims WHO` names; that is looked up at EARLY, from when on all of them are there.
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
        *'"event":"'$3'"'*) pids=${pids:-$(victims "$1")} ;;
        esac
    done
    cat >>seen
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
    local code=$1 words=$2 said got
    xmigrate_on "${@:3}"
    shift 3
    said=$(timeout 60 "${command[@]}" 2>&1)
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
    launch "$T/wire.$1" "$T/wire.$1.err" python3 "$E2E/cut.py" "$port" "$1"
    wait_for 30 has_said "$launched" . "$T/wire.$1"
}
