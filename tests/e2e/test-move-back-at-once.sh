#!/bin/bash
# SPDX-License-Identifier: MIT
# A move that has ended well leaves a guest that can be moved on at once: the destination lets go of it
# before it says goodbye.
# deadline: 120
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen a
back=$port
guest a g --type pvh --memory 32M --dirty 500
# The last files that it removes, its lock among them, take their time.
FAULT_IN=--listen FAULT=call:unlink:sleep=0.8 FAULT_NTH=7 FAULT_LAST=8 FAULT_LOG=$T/struck listen b
move a g
port=$back
move b g
moved b a g
test -s struck || fail "nothing took its time"
