# SPDX-License-Identifier: MIT
# move-kills.sh: processes of a move of guest g from a to b, killed, beside lib.sh and move.sh: the guest
# is whole in exactly one place. Only when it had just been given away may somebody have to look, and then
# xmigrate says so.

# victims WHO: pids of that process among our own descendants.
victims() {
    case $1 in
    sender) echo $mover ;;
    sender-helper) pgrep -P "$mover" -f save-helper ;;
    receiver) pgrep -x -P "$listener" xmigrate ;;
    receiver-helper) for p in $(pgrep -x -P "$listener" xmigrate); do pgrep -s "$p" -f save-helper; done ;;
    esac
}
count() {
    "$X" list "$1" | grep -c MiB
}
running() {
    "$X" list "$1" | awk '$2 == "g" && $7 == "running"' | wc -l
}
one_runs() {
    [ $(($(count a) + $(count b))) -eq 1 ] && [ $(($(running a) + $(running b))) -eq 1 ]
}
# decide: what a move in doubt tells people to do.
decide() {
    "$X" list a | grep -q 'g--migratedaway.*suspended' || return 0
    must xm a --resolve
}
# check WHO STAGE CODE: after the move ended with that code.
check() {
    local what="$1 killed at $2" recover
    on b "$B/xmigrate" --recover >recover 2>&1
    on a "$B/xmigrate" --recover >>recover 2>&1
    recover=$?
    [ "$(running a)" -eq 0 ] || [ "$(running b)" -eq 0 ] || fail "$what: the guest runs twice"
    if [ "$3" -eq 4 ] || [ $recover -eq 4 ]; then
        # GO follows READY within a moment: the guest may be given away before the kill arrives.
        grep -q '"event":"ready"' seen || fail "$what: in doubt: $(cat move recover)"
        decide
    fi
    for _ in $(seq 300); do
        one_runs && break
        sleep 0.1
    done
    one_runs || fail "$what, ended with $3: a: $("$X" list a)
b: $("$X" list b)
$(cat move recover)"
    here=b
    [ "$(running a)" -eq 0 ] || here=a
    logdirty_is $here g off
    sleep 0.1
    whole $here g >/dev/null
    echo "$what: ended with $3, the guest is on $here"
}
begin() { # GUEST'S OPTION...
    listen b
    guest a g "$@"
    rm -f events seen struck
    mkfifo events
    XMIGRATE_RUN_DIR=$T/run-a "$X" run a -- "$B/xmigrate" --config-dir "$T/etc-a" \
        --live "127.0.0.1:$port" g --bandwidth ${BANDWIDTH:-600M} --json >events 2>move &
    mover=$!
    echo $mover >>pids
}
finish() { # WHO STAGE
    local code
    wait_for 60 has_ended
    wait $mover
    code=$?
    check "$1" "$2" $code
    must "$X" destroy $here g
    kill $listener
    wait $listener 2>/dev/null
}
