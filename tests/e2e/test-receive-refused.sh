#!/bin/bash
# SPDX-License-Identifier: MIT
# What the destination refuses before anything is copied, and what it allows.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts --mem 448M
listen b
guest a g --type pvh

guest b g --type pvh --memory 64M
refused 2 'a domain named "g" exists' a --live "127.0.0.1:$port" g -q
must "$X" rename b g g--incoming
refused 2 'a domain named "g--incoming" exists' a --live "127.0.0.1:$port" g -q
must "$X" destroy b g--incoming
stayed a b g

for i in 1 2 3; do guest b filler$i --type pvh --dirty 0; done
guest a big --type pvh
refused 2 'too little memory: "big" needs' a --live "127.0.0.1:$port" big -q
state_is a big running
is_gone b big--incoming
for i in 1 2 3; do must "$X" destroy b filler$i; done

refused 2 'insecure' a --live "127.0.0.1:$port" --insecure g -q
stayed a b g

# The same guest twice at once.
xmigrate_on a --live "127.0.0.1:$port" g --bandwidth 20M --json
launch first.json first.err "${command[@]}"
first=$launched
wait_for 30 grep -q '"progress"' first.json
refused 2 'already' a --live "127.0.0.1:$port" g -q
kill -TERM $first
wait $first
stayed a b g

# Within one host the name is the guest's own.
trust a a
listen a
move a g
state_is a g running
is_gone a g--migratedaway
is_gone a g--incoming
