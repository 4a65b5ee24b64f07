#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon killed under a helper: the helper ends by itself with an error.
. "$E2E/lib.sh"
needs_stock
host a
host b
guest a g --type pvh --memory 512M --dirty 20000
"$X" migrate a g b --live --helper "$STOCK" >/dev/null 2>said &
mover=$!
echo $mover >>pids
sleep 0.1
kill -9 "$(cat h/b/pid)"
ends $mover 10 || fail "the helpers did not end"
wait $mover && fail "the move succeeded without its host"
sleep 0.2
state_is a g running
whole a g
# The stock helper dies of SIGPIPE and may leave log-dirty on: the next one copes.
host b
stock_move a g b --live
whole b g
