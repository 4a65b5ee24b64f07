#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests that rewrite page tables, pin and unpin trees and balloon while they move over lanes, in
# both P2M layouts.
# deadline: 300
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
for type in pv pv32; do
    for layout in list tree; do
        guest a g --type $type --p2m $layout --remap 3000 --fork 100 --balloon 3000
        sleep 0.2
        move a g --lanes 5
        moved a b g
        must "$X" destroy b g
    done
done
guest a g --type pvh --balloon 3000
sleep 0.2
move a g --lanes 3
moved a b g
