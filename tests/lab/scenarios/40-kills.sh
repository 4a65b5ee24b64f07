# SPDX-License-Identifier: MIT
# Processes that die in the middle of round 1: the guest goes on, in one place, whole, and nothing
# is left behind that would stand in the way of the next move.

SCENARIOS+=(sender_dies receiver_and_acceptor_die)

helpers='$(pidof xmigrate-save-helper)'
supervisors='$(pidof xmigrate)'
# The receiver: the listener's child for this migration, and not the one that accepts connections.
receivers='$(for pid in $(pidof xmigrate); do grep -qx xmigrate /proc/$pid/comm &&
    [ $pid != "$(cat /tmp/listen.pid)" ] && echo $pid; done)'

# dies HOST SIGNAL WHO CODE [AFTERWARDS]: WHO on HOST gets the signal while g moves from A to B; the
# sender ends with CODE; AFTERWARDS is a command for HOST.
dies() {
    echo "-- $2 for $3 on $1"
    pulse A g
    moving A g
    must "$1" "kill -$2 $3"
    ended "$4"
    [ -z "${5:-}" ] || must "$1" "$5"
    lived_on A g
    settled A g
}

scenario_sender_dies() {
    create A g pvh
    listen B
    dies A TERM "$helpers" 3
    dies A KILL "$helpers" 3
    dies A TERM "$supervisors" 3
    # The helper sees it and cleans up alone.
    dies A KILL "$supervisors" 137 "turns=0; while pidof xmigrate-save-helper xmigrate >/dev/null; do
        turns=\$((turns + 1)); [ \$turns -lt 100 ] || exit 1; usleep 100000; done"
    dies A TERM "$supervisors $helpers" 3
    dies A KILL "$supervisors $helpers" 137 "xmigrate --recover"
    moves A g
}

scenario_receiver_and_acceptor_die() {
    create A g pvh
    listen B
    dies B TERM "$receivers" 3
    # Its helper may have to notice first; what it was building is swept up by --recover at the
    # latest.
    dies B KILL "$receivers" 3 "sleep 2; xmigrate --recover"
    dies B KILL "$helpers" 3
    acceptor_dies A KILL
    listen A
    acceptor_dies B TERM
}

# The acceptor is needed for new migrations only.
acceptor_dies() { # FROM SIGNAL
    local to
    to=$(other_host "$1")
    pulse "$1" g
    moving "$1" g
    must "$to" "kill -$2 \$(cat /tmp/listen.pid)"
    ended 0
    arrived "$to" g
}

# A xenstored that hangs hangs libxl. Everything of ours ends all the same, and says so; with
# xenstored back the guest is brought back too.
LONG+=(xenstored_hangs_here xenstored_hangs_there)

# xenstored on HOST stops when g, on its way from A, is suspended.
xenstored_stops_on() {
    pulse A g
    moving A g
    sender_says A suspended 60
    must "$1" "kill -STOP \$(pidof xenstored)"
}
xenstored_goes_on() { must "$1" "kill -CONT \$(pidof xenstored); xmigrate --recover"; }

scenario_xenstored_hangs_here() {
    create A g pvh
    listen B
    xenstored_stops_on A
    ended 4
    refused 3 'xenstored' A "xmigrate --recover"
    refused 3 'xenstored' A "xmigrate --resume g"
    xenstored_goes_on A
    lived_on A g
    settled A g
    moves A g
}

scenario_xenstored_hangs_there() {
    create A g pvh
    listen B
    xenstored_stops_on B
    ended 3
    lived_on A g
    xenstored_goes_on B
    settled A g
    moves A g
}
