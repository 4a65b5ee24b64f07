#!/bin/bash
# SPDX-License-Identifier: MIT
# A journal that somebody has spoiled, a peer with a new key, a full state directory: one line that
# says what is wrong, the right exit code, and the guest where it was.
# deadline: 240
[ -n "${APART:-}" ] || APART=1 exec unshare --mount "$0" # what is mounted here ends with the test
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b --insecure

# says CODE WORDS OPTION...: xmigrate on a, of records; one line.
says() {
    local code=$1 words=$2 said got
    shift 2
    said=$(on a "$B/xmigrate" "$@" 2>&1)
    got=$?
    [ $got -eq "$code" ] || fail "ended with $got, not $code: xmigrate $*: $said"
    [ "$(wc -l <<<"$said")" -eq 1 ] || fail "said more than one line: xmigrate $*: $said"
    case $said in *"$words"*) ;; *) fail "said '$said', not '$words': xmigrate $*" ;; esac
}

# in_doubt: g was given to b, and nothing was heard: $record says so.
in_doubt() {
    guest a g --type pvh --memory 16M --dirty 500
    wire before-go
    xm a --live "127.0.0.1:$(cat wire.before-go)" g --insecure >move 2>&1
    [ $? -eq 4 ] || fail "not in doubt: $(tail -n 3 move)"
    sed -i "s/\"port\": [0-9]*/\"port\": $port/" run-a/out-*.json
    record=$(ls run-a/out-*.json)
    cp "$record" good
}

still_in_doubt() {
    says 4 "$record" --recover
    says 4 "$record" --resolve
    says 4 "$record" --resolve g
    says 2 "$record" --resume g--migratedaway
    state_is a g--migratedaway suspended
}

# Cut short, empty, of another version, or no file of ours at all.
in_doubt
head -c 100 good >"$record"
still_in_doubt
: >"$record"
still_in_doubt
sed 's/"version": [0-9]*/"version": 9999/' good >"$record"
still_in_doubt
# It is back: everything is known again.
cp good "$record"

# Two records of one UUID: the one in the right place counts, and is settled; the other is named.
copy=run-a/out-00000000-0000-0000-0000-000000000001.json
cp good "$copy"
on a "$B/xmigrate" --resolve >resolve 2>&1
[ $? -eq 4 ] || fail "the copy went unseen: $(cat resolve)"
[ "$(grep -c error: resolve)" -eq 1 ] && grep -q "$copy.*second record of \"g\"" resolve ||
    fail "said: $(cat resolve)"
stayed a b g
[ -e "$copy" ] || fail "the copy was removed"
[ ! -e "$record" ] || fail "the record is left"
rm "$copy"
must on a "$B/xmigrate" --recover

# A spoiled record of the guest that is to be moved: neither end goes on.
head -c 100 good >"$record"
refused 2 "$record" a --live "127.0.0.1:$port" g --insecure -q
stayed a b g
rm "$record" "${record%.json}.lock"
uuid=${record#*out-}
head -c 100 good >"run-b/in-$uuid"
refused 2 "in-$uuid" a --live "127.0.0.1:$port" g --insecure -q
stayed a b g
rm "run-b/in-$uuid"
# So could this have been said by either end, and the guest is free to go.
move a g --insecure
moved a b g
must "$X" destroy b g
kill "$listener"
ends "$listener" 10

# A peer with a new key is a stranger, until somebody says otherwise.
listen b
guest a g --type pvh --memory 16M
kill "$listener"
ends "$listener" 10
rm etc-b/key.pem etc-b/cert.pem
listen b
refused 2 "is not trusted here" a --live "127.0.0.1:$port" g -q
stayed a b g
# It is known by its name: then somebody may pose as it.
old=$(awk '$2 == "b" { print $1 }' etc-a/trusted)
must xm a --trust "$old" "$(hostname)"
refused 2 "trusted here by another key, $old: either its key was replaced" \
    a --live "127.0.0.1:$port" g -q
stayed a b g
must xm a --untrust "$old"
trust a b
move a g
moved a b g
must "$X" destroy b g
kill "$listener"
ends "$listener" 10

# No room in the state directory, at either end: nothing begins.
mkdir full-a full-b
mount -t tmpfs -o size=16k,mode=700 full full-a
mount -t tmpfs -o size=64k,mode=700 full full-b
fill() { dd if=/dev/zero of="$1/rest" bs=4k status=none 2>/dev/null; }
XMIGRATE_STATE_DIR=$T/full-b listen b
guest a g --type pvh --memory 16M
fill full-a
XMIGRATE_STATE_DIR=$T/full-a refused 2 "No space left" a --live "127.0.0.1:$port" g -q
stayed a b g
[ "$(ls full-a)" = rest ] || fail "left there: $(ls full-a)"
fill full-b
refused 2 "No space left" a --live "127.0.0.1:$port" g -q
stayed a b g
rm full-b/rest
move a g
moved a b g
must "$X" destroy b g
# Filled in the middle of a move, which has its room already.
guest a g --type pvh --memory 64M
moving a g --bandwidth 100M
fill full-b
ended 0
moved a b g
