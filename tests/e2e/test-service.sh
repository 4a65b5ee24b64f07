#!/bin/bash
# SPDX-License-Identifier: MIT
# A service manager holds the listener's port and is told when it is ready. Started anew it ends
# neither a move under way nor a monitor, and refuses nobody meanwhile.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
guest a g --type pvh
guest a h --type pvh

# managed KIND [ARGUMENT]: b's listener, as a service with a socket of that kind.
managed() {
    xmigrate_on b --listen "${@:2}"
    launch service.out service.err python3 "$E2E/service_manager.py" "$1" "${command[@]}"
    manager=$launched
}

# times WORDS COUNT: so often the manager has said that.
times() {
    [ "$(grep -c "$1" service.out)" -ge "$2" ]
}

# anew COUNT: start it anew, and be there when it is ready for the COUNT-th time.
anew() {
    kill -USR1 $manager
    wait_for 20 times 'notified READY=1' "$1"
}

monitored() {
    local locks=("$T/run-b/monitor-"*.lock)
    [ ${#locks[@]} -eq 1 ] && [ -e "${locks[0]}" ] && ! flock -n "${locks[0]}" true
}

managed tcp
wait_for 20 times 'notified READY=1' 1
port=$(sed -n 's/^port //p' service.out)
moving a g --bandwidth 200M --lanes 2
anew 2
times 'notified STOPPING=1' 1 || fail "it did not say that it stops: $(cat service.out)"
ended 0
moved a b g
wait_for 10 monitored
anew 3
monitored || fail "the monitor is gone"

# In the moment without a listener a connection waits.
kill -USR1 $manager
moving a h --bandwidth 200M --lanes 2
ended 0
moved a b h
times 'notified READY=1' 4 || fail "not started anew: $(cat service.out service.err)"
kill $manager
wait_for 20 ends $manager 1

managed udp
wait $manager
[ $? -eq 2 ] || fail "a socket that is no TCP socket: $(cat service.out service.err)"
grep -q 'not a listening TCP socket' service.err || fail "said: $(cat service.err)"

for argument in :1 127.0.0.1; do
    managed tcp $argument
    wait $manager
    [ $? -eq 2 ] || fail "--listen $argument: $(cat service.out service.err)"
    grep -q "listen $argument: the service manager has passed a socket" service.err ||
        fail "said: $(cat service.err)"
done
