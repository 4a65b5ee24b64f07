#!/bin/bash
# SPDX-License-Identifier: MIT
# Several guests at once to one host: memory is promised to one of those that it is there for once,
# the others are refused before anything of them is sent; dom0's balloon makes room; and with
# --max-incoming they wait in order, are told so, and can be cancelled meanwhile.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
host a
host b --mem 128M
host c --mem 378M --dom0 200M
mkdir -p -m 700 "$T/run-a" "$T/run-b" "$T/run-c"
for other in b c; do
    trust a $other
    trust $other a
done
for i in 1 2 3; do
    guest a "g$i" --type pvh --vcpus 1 --memory 64M --dirty 500
done

# send N [OPTION...]: gN to $port; $pid is its pid, what it says is in said-N.json and said-N.err.
send() {
    xmigrate_on a --live "127.0.0.1:$port" "g$1" --json --lanes 1 "${@:2}"
    launch "said-$1.json" "said-$1.err" "${command[@]}"
    pid=$launched
}

# Three at once, and room for one.
listen b
for i in 1 2 3; do
    send $i
    pids[i]=$pid
done
took=0 refused=0
for i in 1 2 3; do
    wait "${pids[i]}"
    case $? in
    0)
        took=$((took + 1))
        there=$i
        ;;
    2)
        refused=$((refused + 1))
        [ "$(grep -vc '^waiting: guests are being moved' "said-$i.err")" -eq 1 ] || fail "more than a line: $(cat "said-$i.err")"
        grep -q "too little memory: \"g$i\" needs .* are free" "said-$i.err" || fail "$(cat "said-$i.err")"
        ! grep -q '"start"' "said-$i.json" || fail "something was sent: $(cat "said-$i.json")"
        state_is a "g$i" running
        ;;
    *) fail "g$i: $(cat "said-$i.err")" ;;
    esac
done
[ "$took $refused" = '1 2' ] || fail "$took went, $refused were refused"
moved a b "g$there"
! ls run-b/newcomer* 2>/dev/null || fail "files are left"
# Nothing is kept for it any more: all that is free can be had.
"$X" info b | sed -n 's/.* \([0-9]*\) MiB free.*/\1/p' >free
guest b big --type pv --memory "$(($(cat free) - 6))M" --vcpus 1 --dirty 10
must "$X" destroy b big
must "$X" destroy b "g$there"

# Dom0 gives up what is missing, and no more than it may.
guest a "g$there" --type pvh --vcpus 1 --memory 64M --dirty 500
listen c
dom0() { "$X" dom0 c; }
guest c own --type pv --memory 128M --vcpus 1 --dirty 10
before=$(dom0)
send 1
wait $pid || fail "said: $(cat said-1.err)"
moved a c g1
[ "$(dom0)" -lt "$before" ] || fail "dom0 gave nothing: $(dom0) of $before KiB"
after=$(dom0)
send 2
wait $pid
[ $? -eq 2 ] && grep -q 'dom0 there keeps at least 128' said-2.err || fail "said: $(cat said-2.err)"
refused 2 'dom0 there keeps at least 128' a --estimate "127.0.0.1:$port" g2
[ "$(dom0)" -eq "$after" ] || fail "dom0 gave $(dom0) for a guest that was refused"
must "$X" destroy c own

# One at once: the others wait.
kill $listener
listen c --max-incoming 1
guest a g1 --type pvh --vcpus 1 --memory 64M --dirty 500
must "$X" destroy c g1
send 1 --bandwidth 40M
first=$pid
wait_for 20 grep -q '"progress"' said-1.json
send 2
second=$pid
wait_for 20 grep -q '"waiting"' said-2.json
send 3
third=$pid
wait_for 20 grep -q '"waiting"' said-3.json
grep -q '"ahead":2' said-3.json || fail "said: $(cat said-3.json)"
grep -q 'waiting: 2 guests come to c .* before "g3", and 1 at once may' said-3.err || fail "said: $(cat said-3.err)"
on a "$B/xmigrate" --status g2 --json | grep -q '"phase": *"waiting"' || fail "$(on a "$B/xmigrate" --status --json)"
must on a "$B/xmigrate" --cancel g2
wait $second
[ $? -eq 2 ] && grep -q 'cancelled with xmigrate --cancel' said-2.err || fail "said: $(cat said-2.err)"
wait_for 20 grep -q '"ahead":1' said-3.json
must on a "$B/xmigrate" --set g1 bandwidth=none
wait $first || fail "said: $(cat said-1.err)"
wait $third || fail "said: $(cat said-3.err)"
moved a c g1
moved a c g3
state_is a g2 running
