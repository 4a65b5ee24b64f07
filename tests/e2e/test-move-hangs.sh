#!/bin/bash
# SPDX-License-Identifier: MIT
# A helper that hangs is killed, a destination that hangs is given up: the guest stays.
# deadline: 180
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
guest a g --type pvh --memory 256M
moving a g --bandwidth 100M --silent-timeout 6s
helper=$(helper)
kill -STOP "$helper"
ended 3
grep -q 'save helper hangs' moving.err || fail "not said: $(cat moving.err)"
! kill -0 "$helper" 2>/dev/null || fail "the hanging helper is still there"
untouched a b g
moving a g --bandwidth 100M --silent-timeout 6s
receiver=$(pgrep -x -P $listener xmigrate)
kill -STOP $receiver
ended 3
kill -CONT $receiver
untouched a b g
move a g
moved a b g
