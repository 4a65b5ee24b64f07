#!/bin/bash
# SPDX-License-Identifier: MIT
# Without shadow paging PV log-dirty is refused, as on Debian's Xen; offline moves work.
. "$E2E/lib.sh"
needs_stock
host a --no-shadow
host b --no-shadow
guest a g --type pv
must_say "Failed to enable logdirty" "$X" migrate a g b --live --helper "$STOCK"
sleep 0.1
whole a g
stock_move a g b
whole b g
guest a h --type pvh
stock_move a h b --live
whole b h
