#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest that may have no more memory than it has gives pages back and takes others in while it is
# moved: it does not meet its limit at the destination, and what it gave back has no memory there.
# deadline: 200
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen b
id_of() {
    "$X" list "$1" | awk '$2 == "g" { print $1 }'
}
poke() {
    must on "$1" "$B/e2e/poke" "$(id_of "$1")" "$2"
}
# more_than_used HOST: how many pages it has beside those that the guest knows of, in $more.
more_than_used() {
    local has uses
    must "$X" pause "$1" g
    has=$(poke "$1" pages)
    uses=$("$X" verify "$1" g) || fail "not whole: $uses"
    echo "$1: has $has pages, $uses"
    uses=${uses#*whole: }
    more=$((has - ${uses%% *}))
    must "$X" unpause "$1" g
}
out() {
    [ "$("$X" verify a g | sed 's/.*wrote them, \([0-9]*\) ballooned.*/\1/')" -ge 1000 ]
}
for type in pvh pv; do
    guest a g --type $type --memory 64M --dirty 1000 --balloon 20000
    wait_for 20 out
    poke a full >/dev/null
    more_than_used a
    before=$more
    move a g --bandwidth 300M --max-downtime 100ms --max-rounds 8
    more_than_used b
    [ "$more" -eq "$before" ] || fail "$type: $((more - before)) pages are left in holes"
    moved a b g
    must "$X" destroy b g
done
