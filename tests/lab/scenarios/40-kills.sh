# Processes that die in the middle of round 1: the guest goes on, in one place, whole, and nothing
# is left behind.

SCENARIOS+=(term_helper kill_helper term_sender kill_sender kill_both term_both
            kill_receiver term_receiver kill_receiver_helper kill_acceptor term_acceptor)

before_kill() {
    create A g pvh
    listen B
    pulse A g
    moving A g
}

stays() {
    lived_on A g
    settled A g
}

# What a kill leaves must not stand in the way of the next move: after the kills that leave most.
moves_again() {
    must A "xmigrate --live hostB g --lanes 4" 300
    lived_on B g
    only_on B g
}

helpers='$(pidof xmigrate-save-helper)'
supervisors='$(pidof xmigrate)'

scenario_term_helper() {
    before_kill
    must A "kill -TERM $helpers"
    ended 3
    stays
}
scenario_kill_helper() {
    before_kill
    must A "kill -KILL $helpers"
    ended 3
    stays
}
scenario_term_sender() {
    before_kill
    must A "kill -TERM $supervisors"
    ended 3
    stays
}
scenario_kill_sender() {
    before_kill
    must A "kill -KILL $supervisors"
    ended 137
    # The helper sees it and cleans up alone.
    must A "turns=0; while pidof xmigrate-save-helper >/dev/null; do
        turns=\$((turns + 1)); [ \$turns -lt 100 ] || exit 1; usleep 100000; done"
    stays
}
scenario_kill_both() {
    before_kill
    must A "kill -KILL $supervisors $helpers"
    ended 137
    must A "xmigrate --recover"
    stays
    moves_again
}
scenario_term_both() {
    before_kill
    must A "kill -TERM $supervisors $helpers"
    ended 3
    stays
}

# The receiver: the acceptor's child for this migration.
receivers='$(pidof xmigrate | tr " " "\n" | grep -vx "$(cat /tmp/listen.pid)")'

scenario_kill_receiver() {
    before_kill
    must B "kill -KILL $receivers"
    ended 3
    # Its helper may have to notice first; what it was building is swept up by --recover at the
    # latest.
    must B "sleep 2; xmigrate --recover"
    stays
    moves_again
}
scenario_term_receiver() {
    before_kill
    must B "kill -TERM $receivers"
    ended 3
    stays
}
scenario_kill_receiver_helper() {
    before_kill
    must B "kill -KILL $helpers"
    ended 3
    stays
}
# The acceptor is needed for new migrations only.
acceptor_ends() { # SIGNAL
    before_kill
    must B "kill -$1 \$(cat /tmp/listen.pid)"
    ended 0
    lived_on B g
    only_on B g
}
scenario_kill_acceptor() { acceptor_ends KILL; }
scenario_term_acceptor() { acceptor_ends TERM; }
