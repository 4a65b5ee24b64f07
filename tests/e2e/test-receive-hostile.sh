#!/bin/bash
# SPDX-License-Identifier: MIT
# A source that lies, stops or dies at any point leaves no domain, no state and a listener that
# goes on.
# deadline: 300
. "$E2E/lib.sh"
host b --tmem
mkdir -m 700 run
XMIGRATE_RUN_DIR=$T/run "$X" run b -- "$B/xmigrate" --config-dir "$T/conf" --insecure \
    --silent-timeout 6s --listen 127.0.0.1:0 >out 2>err &
echo $! >>pids
for _ in $(seq 100); do grep -q port out && break; sleep 0.1; done
port=$(sed -n 's/.*port \([0-9]*\).*/\1/p;q' out)
[ -n "$port" ] || fail "no listener: $(cat err)"

# nothing_left: no domain, no state file, no process but the acceptor, within a moment.
nothing_left() {
    for _ in $(seq 300); do
        [ "$("$X" list b | wc -l)" -eq 1 ] && ! ls run | grep -q -e '^in-' -e '^link-' &&
            [ -z "$(pgrep -x -P "$(head -n 1 pids)" xmigrate)" ] &&
            return 0
        sleep 0.1
    done
    fail "$1 left something: $("$X" list b) $(ls run)"
}

# answers CASE WORDS: the destination's last word.
answers() {
    local said
    said=$(timeout 60 python3 "$E2E/hostile_source.py" "$port" "$1") || fail "$1: $said"
    case $said in *"$2"*) ;; *) fail "$1: answered '$said', not '$2'" ;; esac
    nothing_left "$1"
}

answers other-version 'REFUSE the peer speaks version 4'
answers no-json 'REFUSE the peer sent a'
answers huge-frame 'REFUSE'
answers unknown-frame 'REFUSE'
answers go-first 'REFUSE'
answers measure-nonsense 'REFUSE the peer sent a'
answers measure-silent 'FAILED the source opened 0 of 2 lanes'
answers measure-other-lane 'FAILED the source opened 1 of 2 lanes'
answers measure-pages 'PAGES'
answers measure-huge 'FILLER record of 16777216 bytes'
answers measure-flipped 'was changed on its way'
answers measure-dies 'ended'
answers offer-no-uuid 'REFUSE the peer sent a'
answers offer-slash 'REFUSE the peer sent a'
answers offer-no-lanes 'REFUSE the peer sent a'
answers offer-nonsense 'REFUSE libxl cannot make sense of the configuration'
answers offer-other-name 'REFUSE the offer and the configuration'
answers offer-other-uuid 'REFUSE the offer and the configuration'
answers offer-huge-memory 'REFUSE too little memory'
answers offer-vnuma 'REFUSE g has virtual NUMA'
answers offer-stub-domain 'REFUSE g has its device model in a stub domain'
answers offer-pci 'REFUSE g has a device of this host'
answers prepare-unasked 'FAILED PREPARE came'
answers aux-unknown 'auxiliary data "other", which this xmigrate does not know'
answers aux-optional 'auxiliary data "other": the source counts 3 entries'
answers aux-boasts 'FAILED auxiliary data "tmem": 1099511627776 entries'
answers aux-head 'its head makes no sense'
answers aux-elsewhere 'cannot write the transcendent memory of domain'
answers aux-floods 'more came than was announced'
answers aux-withdraws 'an entry is withdrawn that is not there'
answers aux-repeats 'an entry came twice in one round'
answers aux-late 'AUX came after LANE_END'
answers aux-counts 'the source counts 3 entries, 0 withdrawn, 12288 bytes; 2, 0 and 8192 arrived'
answers dies ''
answers bad-head 'FAILED libxl'
answers short-head-dies ''
answers head-ends 'FAILED'
answers head-dies ''
answers go-early 'FAILED'
answers aborts 'FAILED thought again'
answers second-offer 'FAILED'
answers silent 'FAILED'
kill -0 "$(head -n 1 pids)" || fail "the listener ended: $(cat err)"
