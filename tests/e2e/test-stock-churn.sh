#!/bin/bash
# SPDX-License-Identifier: MIT
# PV guests that rewrite page-table entries, and pin and unpin trees, in both P2M layouts.
# deadline: 240
. "$E2E/lib.sh"
needs_stock
host a
host b
for type in pv pv32; do
    for layout in list tree; do
        guest a g --type $type --p2m $layout --remap 3000 --fork 100
        sleep 0.3
        stock_move a g b --live
        sleep 0.2
        whole b g
        stock_move b g a
        sleep 0.2
        whole a g
        must "$X" destroy a g
    done
done
