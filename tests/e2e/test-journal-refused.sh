#!/bin/bash
# SPDX-License-Identifier: MIT
# A journal that cannot be synced refuses the move before anything is done, and no record stays.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
guest a g --type pvh --memory 32M
listen b
FAULT_IN=--live FAULT=call:fsync:fail=5 FAULT_NTH=2 xm a --live "127.0.0.1:$port" g >move 2>&1
code=$?
[ $code -eq 2 ] || fail "it ended with $code: $(cat move)"
grep -q 'cannot sync' move || fail "it said: $(cat move)"
! ls "$T"/run-a/out-* 2>/dev/null || fail "a record is left"
stayed a b g
move a g
moved a b g
