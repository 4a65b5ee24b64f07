#!/bin/bash
# SPDX-License-Identifier: MIT
# One clear line, an exit code, and nothing left over.
. "$E2E/lib.sh"
# usage WORDS COMMAND...: as must_say, of a command line that is wrong: it ends with 1.
usage() {
    must_say "$@"
    "${@:2}" >/dev/null 2>&1
    [ $? -eq 1 ] || fail "did not end with 1: ${*:2}"
}
usage "what? " "$X"
usage "unknown command lst" "$X" lst a
usage "it is: xensim list HOST" "$X" list
usage "extra is too much; it is: xensim list HOST" "$X" list a extra
usage "--bogus is too much; it is: xensim verify HOST DOMAIN" "$X" verify a 1 --bogus
usage "it is: xensim verify HOST DOMAIN" "$X" verify a
usage "it is: xensim run HOST -- COMMAND" "$X" run a xl list

# A run directory that somebody else has made, where anybody could have put a host.
other=(setpriv --reuid=61987 --clear-groups env -u XENSIM_DIR "$X")
if "${other[@]}" --help >/dev/null 2>&1 && mkdir /tmp/xensim-61987; then
    trap 'rmdir /tmp/xensim-61987' EXIT
    must_say "not a directory of user 61987's" "${other[@]}" list a
    must_say "not a directory of user 61987's" "${other[@]}" host a --mem 64M
    rmdir /tmp/xensim-61987
    trap - EXIT
fi

usage "give --mem SIZE" "$X" host a
usage "--mem needs a value: 16M to 8T, a multiple of 2M" "$X" host a --mem
usage "host takes no --size" "$X" host a --size 3
usage "restore takes no --live" "$X" restore a file --live
usage "--helper needs a value" "$X" save a g file --helper
usage "it is: xensim save HOST DOMAIN FILE" "$X" save a g
usage "more is too much" "$X" migrate a g b more and more
for verb in host create save; do
    must "$X" $verb --help >help
    must "$X" $verb a --help | cmp - help || fail "$verb a --help is not $verb --help"
    grep -q "xensim $verb" help && ! grep -q "xensim list" help || fail "$verb --help: $(cat help)"
done
must "$X" --help >help
grep -q -- "--address-space SIZE" help || fail "--help does not name what create takes"
usage "--mem 100: it takes 16M to 8T" "$X" host a --mem 100
usage "--mem 9x: it takes 16M to 8T" "$X" host a --mem 9x
usage "--fragment 101: it takes 0 to 100" "$X" host a --mem 64M --fragment 101
usage "not a host name" "$X" host ../a --mem 64M
must_say "does not run" "$X" list a
must_say "this machine has" "$X" host a --mem 8T --prealloc
gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
host a --mem $((gib + 4))G
must_say "the machine that simulates host a has" "$X" create a --memory $((gib + 2))G
must "$X" stop a
host a --mem 64M
must_say "runs already" "$X" host a --mem 64M
must_say "has no domain 7" "$X" verify a 7
usage "create takes no --size" "$X" create a --size 3
usage "create takes no extra" "$X" create a extra
usage "--type vm: it takes pv, pv32, pvh or hvm" "$X" create a --type vm
for bad in 5 4K 1028K1 513G; do
    usage "--memory $bad: it takes 1M to 512G, a multiple of 4K" "$X" create a --memory $bad
done
for bad in 7G 33T; do
    usage "--address-space $bad: it takes 8G to 32T" "$X" create a --address-space $bad
done
usage "--vcpus 0: it takes 1 to 64" "$X" create a --vcpus 0
usage "--vcpus 65: it takes 1 to 64" "$X" create a --vcpus 65
usage "--dirty -1: it takes 0 to 1000000000, or max" "$X" create a --dirty -1
usage "--pattern cold: it takes idle, uniform," "$X" create a --pattern cold
usage "--content zero=10: it takes zero=A" "$X" create a --content zero=10
usage "--p2m list2: it takes list or tree" "$X" create a --p2m list2
usage "--remap 1000001: it takes 0 to 1000000 a second" "$X" create a --remap 1000001
usage "--fork 100001: it takes 0 to 100000 a second" "$X" create a --fork 100001
usage "--balloon 1000001: it takes 0 to 1000000 a second" "$X" create a --balloon 1000001
usage "--tmem 4K: it takes 256K to 8G, a multiple of 256K" "$X" create a --tmem 4K
usage "--tmem-rate is for guests with --tmem" "$X" create a --tmem-rate 1
usage "--suspend slow: it takes normal, refuse, slow:TIME or late:TIME" "$X" create a --suspend slow
usage "--seed x: it takes a whole number" "$X" create a --seed x
usage "--name : it takes 1 to 63 characters" "$X" create a --name ""
usage "--memory needs a value" "$X" create a --memory
must_say "has no memory for this guest: it wants 128 MiB, 57 MiB are free" "$X" create a --memory 128M
usage "--memory is too small" "$X" create a --type pv --memory 1M --vcpus 8
must_say "--pattern file:/nowhere: " "$X" create a --pattern file:/nowhere
guest a g --memory 16M
must_say "has a domain g already" "$X" create a --memory 4M --name g
usage "not a time" "$X" suspend a g soon
must_say "No such file" "$X" restore a /nowhere
must_say "cannot execute" "$X" run a -- /nowhere/program
[ "$("$X" list a | wc -l)" -eq 2 ] || fail "a refused guest was left"

# A dead host's directory is taken over; its clients end.
"$X" run a -- "$B/e2e/poke" 1 hold 0x100 60 >held &
echo $! >>pids
for i in $(seq 50); do [ -s held ] && break; sleep 0.1; done
kill -9 "$(cat h/a/pid)"
for i in $(seq 50); do "$X" list a 2>&1 | grep -q "does not run" && break; sleep 0.1; done
must_say "does not run" "$X" list a
host a --mem 64M
[ "$("$X" list a | wc -l)" -eq 1 ] || fail "the new host has an old domain"
# The host dies while it is asked: stopped, it gets no further than to be asked.
for command in verify suspend; do
    guest a g --memory 16M
    kill -STOP "$(cat h/a/pid)"
    "$X" $command a g >asked 2>&1 &
    asked=$!
    echo $asked >>pids
    sleep 0.3
    kill -9 "$(cat h/a/pid)"
    ends $asked 5 || fail "$command did not end with its host"
    wait $asked
    code=$?
    [ $code -eq 2 ] || fail "$command ended with $code when its host died"
    [ "$(wc -l <asked)" -eq 1 ] && grep -q 'host a went away .*h/a/log .*xensim host a --mem' asked ||
        fail "$command said '$(cat asked)' when its host died"
    host a --mem 64M
done
guest a g --memory 16M
said=$("$X" stop a 2>&1) || fail "stop failed: $said"
[ -z "$said" ] || fail "stop said '$said'"
[ ! -e h/a ] || fail "the run directory is left"
must_say "does not run" "$X" stop a
