#!/bin/bash
# SPDX-License-Identifier: MIT
# A peer does what it is trusted with and no more; both ends say what is missing and how to add it.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh
at=127.0.0.1:$port
key_a=$(fingerprint a) key_b=$(fingerprint b)
# rights HOST KEY NAME RIGHTS
rights() {
    must xm "$1" --trust "$2" "$3" "$4"
}
# Not let in at all: a may only be sent to.
rights b "$key_a" a receive
refused 2 "trusts this host's identity $key_a, but not for this" a --live "$at" g
says_so() {
    grep -q "(a) is trusted here for receive, not for send,status; .*--trust $key_a a send,receive,status" \
        listen-b.err
}
wait_for 10 says_so
# Let in to ask, which is no leave to send or to measure.
rights b "$key_a" a status
refused 2 "not to send guests; to change that, run there: xmigrate --trust $key_a a send,status" \
    a --live "$at" g
refused 2 "not to send guests" a --estimate "$at" g
# The source does not give a guest to who may only send.
rights b "$key_a" a send
rights a "$key_b" b send,status
refused 2 "is trusted here for send,status, not for receive" a --live "$at" g
stayed a b g
rights a "$key_b" b receive
move a g
moved a b g
refused 1 "are no rights" a --trust "$key_b" b everything
