#!/bin/bash
# The stock helper saves and restores pv32 guests of xensim: to a file, and moving, live and not.
. "$E2E/lib.sh"
needs_stock
host a
host b --fragment 30
guest a g --type pv32
sleep 0.3
must "$X" save a g image --helper "$STOCK"
verify_stream libxc image
must "$X" restore b image --helper "$STOCK"
rm image
sleep 0.2
whole b g
stock_move b g a --live
whole a g
stock_move a g b
sleep 0.2
whole b g
state_is b g running
logdirty_is b g off
