#!/bin/bash
# SPDX-License-Identifier: MIT
# --live of a guest that has gone to that host already succeeds and says so, until it is back here.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh
at_b=127.0.0.1:$port
refused 2 'there is no domain "h"' a --live "$at_b" h
move a g
moved a b g
must xm a --live "$at_b" g --json >gone.json 2>gone.err
grep -q '"g" is not here: it went to 127.0.0.1.*is there: nothing is left' gone.err ||
    fail "said: $(cat gone.err)"
must xm a --status g --peer "$at_b" >there
grep -q '"g" is on 127.0.0.1' there || fail "said: $(cat there)"
must xm a --status g --peer "$at_b" --json | grep -q '"phase":"there"' || fail "not in JSON"
grep -q '"event":"gone"' gone.json && [ "$(wc -l <gone.json)" = 1 ] || fail "$(cat gone.json)"
must on a "$B/xmigrate" --metrics - >metrics
grep -qxF 'xmigrate_migrations_total{direction="out",outcome="done"} 1' metrics || fail "$(cat metrics)"
refused 2 'there is no domain "g"' a --live localhost:1 g

# Back here it is moved again, and when it is destroyed here it has gone nowhere.
listen a
move b g
moved b a g
must "$X" destroy a g
refused 2 'there is no domain "g"' a --live "$at_b" g

# What came of it there since is asked, if somebody answers.
guest a h --type pvh --memory 64M
listen b
at_b=127.0.0.1:$port
move a h
moved a b h
must "$X" destroy b h
refused 2 'and is not there any more' a --live "$at_b" h
refused 2 'no migration of "h"' a --status h --peer "$at_b"
kill "$listener"
wait "$listener" 2>/dev/null
must xm a --live "$at_b" h 2>gone.err
grep -q 'could not be asked' gone.err || fail "said: $(cat gone.err)"
