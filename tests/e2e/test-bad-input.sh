#!/bin/bash
# One clear line, an exit code, and nothing left over.
. "$E2E/lib.sh"
must_say "give --mem SIZE" "$X" host a
must_say "--mem 100: " "$X" host a --mem 100
must_say "--mem 9x: " "$X" host a --mem 9x
must_say "--fragment 101: " "$X" host a --mem 64M --fragment 101
must_say "not a host name" "$X" host ../a --mem 64M
must_say "does not run" "$X" list a
must_say "this machine has" "$X" host a --mem 8T --prealloc
gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
host a --mem $((gib + 4))G
must_say "the machine that simulates host a has" "$X" create a --memory $((gib + 2))G
must "$X" stop a
host a --mem 64M
must_say "runs already" "$X" host a --mem 64M
must_say "has no domain 7" "$X" verify a 7
must_say "unknown option --size" "$X" create a --size 3
must_say "--type hvm: not a value" "$X" create a --type hvm
must_say "--memory 5: not a value" "$X" create a --memory 5
must_say "has no memory for this guest: it wants 128 MiB, 57 MiB are free" "$X" create a --memory 128M
must_say "--memory is too small" "$X" create a --type pv --memory 1M --vcpus 8
must_say "--pattern file:/nowhere: " "$X" create a --pattern file:/nowhere
guest a g --memory 16M
must_say "has a domain g already" "$X" create a --memory 4M --name g
must_say "not a time" "$X" suspend a g soon
must_say "No such file" "$X" restore a /nowhere
must_say "cannot execute" "$X" run a -- /nowhere/program
[ "$("$X" list a | wc -l)" -eq 2 ] || fail "a refused guest was left"

# A dead host's directory is taken over; its clients end.
"$X" run a -- "$B/e2e/poke" 1 hold 0x100 60 >held &
echo $! >>pids
for i in $(seq 50); do [ -s held ] && break; sleep 0.1; done
kill -9 "$(cat h/a/pid)"
sleep 0.2
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
    for i in $(seq 50); do kill -0 $asked 2>/dev/null || break; sleep 0.1; done
    kill -0 $asked 2>/dev/null && fail "$command did not end with its host"
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
