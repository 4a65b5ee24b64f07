#!/bin/bash
# SPDX-License-Identifier: MIT
# Drop-in: our save helper and the stock one take each other's plain streams, each guest type, live
# and not; the stock checker accepts ours.
# deadline: 300
. "$E2E/lib.sh"
needs_stock
OURS=$B/xmigrate-save-helper
host a
host b --fragment 30
# dropin FROM TO HELPER HELPER-TO DOMAIN [OPTION...]
dropin() {
    local from=$1 to=$2 helper=$3 helper_to=$4 domain=$5
    shift 5
    must "$X" migrate "$from" "$domain" "$to" --helper "$helper" --helper-to "$helper_to" "$@" \
        >/dev/null
    sleep 0.2
    whole "$to" "$domain"
    state_is "$to" "$domain" running
    logdirty_is "$to" "$domain" off
}
for type in pv pv32 pvh; do
    guest a g --type $type --memory 64M --remap 500 --fork 20
    sleep 0.2
    dropin a b "$STOCK" "$OURS" g --live
    dropin b a "$OURS" "$STOCK" g --live
    dropin a b "$OURS" "$STOCK" g
    dropin b a "$STOCK" "$OURS" g
    dropin a b "$OURS" "$OURS" g --live
    must "$X" save b g image --live --helper "$OURS"
    verify_stream libxc image
    must "$X" restore a image --helper "$STOCK"
    sleep 0.2
    whole a g
    must "$X" destroy a g
done
