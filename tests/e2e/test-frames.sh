#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests' frames lie in rows, or as scattered as the host was told. No machine frame is numbered as
# the guest numbers it: not in runs, not scattered, and not where a guest fills its host, so that the
# two numberings cross.
. "$E2E/lib.sh"
for fragment in 0 50 100; do
    host a --mem 144M --fragment $fragment
    for type in pvh pv; do
        guest a g --type $type --memory 120M --dirty 0
        said=$("$X" run a -- "$B/e2e/poke" 0 identical) || fail "no M2P"
        case $said in
        "0 of "[1-9]*) ;;
        *) fail "$type, $fragment % scattered: $said frames have the guest's numbers" ;;
        esac
        awk -v scattered=$fragment '{
            row = 100 * $7 / $3
            exit !(scattered == 0 ? row > 98 : scattered == 100 ? row < 5 : row > 30 && row < 70)
        }' <<<"$said" || fail "$type, $fragment % scattered: $said"
        must "$X" destroy a g
    done
    must "$X" stop a
done
