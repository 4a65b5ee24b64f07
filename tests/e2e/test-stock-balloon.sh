#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests with pages ballooned out keep them out, or have them again, but lose none.
. "$E2E/lib.sh"
needs_stock
host a
host b
for type in pvh pv pv32; do
    guest a g --type $type --balloon 4000
    sleep 0.5
    stock_move a g b
    sleep 0.3
    whole b g
    must "$X" destroy b g
done
