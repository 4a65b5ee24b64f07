#!/bin/bash
# No machine frame is numbered as the guest numbers it: not in runs, not scattered, and not where a
# guest fills its host, so that the two numberings cross.
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
        must "$X" destroy a g
    done
    must "$X" stop a
done
