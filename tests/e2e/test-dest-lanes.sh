#!/bin/bash
# SPDX-License-Identifier: MIT
# The destination's lanes build guests of every type; whatever is wrong on a connection is said at
# both ends, and nothing of the guest stays mapped.
# deadline: 240
. "$E2E/lib.sh"
needs_stock
host a --mem 2G

# empty NAME: a domain to build image NAME into; prints its domid.
empty() {
    local words
    read -ra words <"$1.xensim"
    "$X" create-empty a "${words[@]:0:3}" "$1"
}

replay() { # DOMID IMAGE LANES [DAMAGE]
    timeout 60 "$X" run a -- "$B/e2e/replay" "$@" 2>&1
}

# refused IMAGE DAMAGE WORDS: both ends say so, and the domain can be destroyed at once.
refused() {
    local domid said
    domid=$(empty "$1") || fail "no empty domain"
    said=$(replay "$domid" "$1" 4 "$2") && fail "$2: built"
    [ "$(grep -c "$3" <<<"$said")" -ge 1 ] || fail "$2: said '$said', not '$3'"
    case $2 in
    cut-trunk) ;;
    *) grep -q "the source heard: .*$3" <<<"$said" || fail "$2: the source was not told: $said" ;;
    esac
    must "$X" destroy a "$1"
}

for type in pvh pv pv32; do
    guest a $type --type $type --content zero=25,text=50,random=25
    sleep 0.3
    must "$X" save a $type $type --live --helper "$STOCK"
    for lanes in 1 4 64; do
        domid=$(empty $type) || fail "no empty domain"
        said=$(replay "$domid" $type $lanes) || fail "$type on $lanes lanes: $said"
        grep -q "the source heard: none" <<<"$said" || fail "$type: the source heard no result"
        whole a $type
        must "$X" destroy a $type
    done
done
refused pv cut-lane "ended before LANE_END"
refused pvh garble "bad PAGES record"
refused pv pte "beyond the guest's last"
refused pv32 totals "entries, .* arrived"
refused pv cut-trunk "ended before END"
refused pvh early "X86_TSC_INFO has no place before the pages"
refused pv twice "comes on two lanes in one round"
refused pvh border "do not end in the same round"
refused pvh after-end "END came after END"
refused pv cancel "cancelled"

# Too little memory: said with what was there.
read -ra words <pv.xensim
domid=$("$X" create-empty a pv "${words[1]}" 30000 small)
said=$(replay "$domid" pv 4) && fail "built in too little memory"
# While it is built, a domain may have an eighth more.
grep -q "would make [0-9]* pages of domain [0-9]*, which may have 8437" <<<"$said" || fail "said '$said'"
must "$X" destroy a small
