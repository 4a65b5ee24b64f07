#!/bin/bash
# SPDX-License-Identifier: MIT
# Files of a Xen before 4.6, of a generator that knows their layout alone: what is in them, what Xen's own
# converter makes of them, what is made of them here, and what is refused.
# deadline: 1800
. "$E2E/lib.sh"
needs_stock
mkdir files
x() {
    "$B/xmigrate" "$@" 2>&1
}
old() {
    python3 "$E2E/legacy_file.py" "$@"
}
export PYTHONPATH=$STOCK_DIR/lib/python

# exported KEY=VALUE...: files/old is such a file; what --export makes of it, which is whole, is the same
# guest.
exported() {
    must old make files/old "$@"
    must x --inspect files/old >said
    grep -q '^  whole' said || fail "$*: $(cat said)"
    rm -f files/new
    must x --export files/new files/old >said
    old guest files/new files/old.guest >files/guest || fail "$*: the new file is not right"
    cmp files/guest files/old.guest || fail "$*: another guest"
    must x --inspect files/new >said
    must old verify files/new
}

# judged KEY=VALUE...: and the stock tools agree.
judged() {
    exported "$@"
    case " $* " in *toolstack*) ;; *) verify_stream xl files/new ;; esac
    must old stream files/old files/stream
    local tools=64 type=pv option
    for option; do
        case $option in tools=*) tools=${option#*=} ;; type=*) type=${option#*=} ;; esac
    done
    must python3 "$STOCK_DIR/bin/convert-legacy-stream" -i files/stream -o files/converted -w "$tools" -g "$type" -f libxl
    old guest files/converted files/old.guest >files/guest || fail "$*: the stock converter's file is not right"
    cmp files/guest files/old.guest || fail "$*: the stock converter makes another guest of it"
}

seed=0
for tools in 32 64; do
    for guest in 32 64; do
        judged tools=$tools guest=$guest seed=$((++seed))
        judged tools=$tools guest=$guest xsave=1 live=1 seed=$((++seed))
        judged tools=$tools guest=$guest verify=1 frames=3000 pages=1100 seed=$((++seed))
        judged tools=$tools guest=$guest config=text frames=100000 seed=$((++seed))
        exported tools=$tools guest=$guest no_vcpu_info=1 unknown_block=1 seed=$((++seed))
        exported tools=$tools guest=$guest tmem=ephemeral live=1 late_tmem=1 seed=$((++seed))
        exported tools=$tools guest=$guest tmem=empty seed=$((++seed))
        exported tools=$tools guest=$guest remus=1 xsave=1 seed=$((++seed))
        exported tools=$tools guest=$guest remus=1 live=1 seed=$((++seed))
    done
    judged tools=$tools type=hvm seed=$((++seed))
    judged tools=$tools type=hvm toolstack=1 all_params=1 live=1 seed=$((++seed))
    judged tools=$tools type=hvm verify=1 frames=1048576 pages=1500 seed=$((++seed))
    exported tools=$tools type=hvm all_params=1 fip=1 old_qemu=1 toolstack=1 seed=$((++seed))
    exported tools=$tools type=hvm tmem=ephemeral live=1 late_tmem=1 config=text seed=$((++seed))
    exported tools=$tools type=hvm remus=1 toolstack=1 seed=$((++seed))
done
# The most frames that 28 bits name: 1 TiB.
judged tools=64 frames=268435456 sparse=1
judged tools=32 type=hvm frames=268435456 sparse=1

# What --inspect says.
must old make files/old tools=32 type=hvm tmem=persistent late_tmem=1 live=1 verify=1 toolstack=1
must x --inspect files/old --json >said
python3 - said <<'EOF' || fail "--json says: $(cat said)"
import json, sys
o = json.load(open(sys.argv[1]))
l = o["legacy"]
assert (o["whole"], o["version"], o["kind"], o["emulator_bytes"], o["config"]["c_info"]["name"]) == (True, 1, "save", 781, "old")
assert (l["tools_bits"], l["guest_type"], l["vcpus"], l["frames"], l["verified_pages"], l["tmem_flushed"]) == (32, "hvm", 3, 64, 24, 2)
assert [(p["id"], p["persistent"], p["pages"], p["page_bytes"]) for p in l["tmem_pools"]] == [(0, True, 2, 4096), (3, True, 2, 8192), (1, False, 0, 4096)]
assert o["data_pages"] == 32 and all(l["markers"][m] == 1 for m in ("tmem", "tmem_extra", "tsc_info", "vcpu_info", "toolstack", "enable_verify_mode", "last_checkpoint"))
EOF
must x --inspect files/old >said
grep -q 'pool 3, persistent, pages: 2 of 8.00 KiB' said || fail "$(cat said)"

# What is refused, and that nothing is made.
rm -f files/new files/stream files/converted files/guest
must_say 'persistent tmem pools: 0 (8.00 KiB), 3 (16.0 KiB);' "$B/xmigrate" --export files/new files/old
must_say 'xmigrate --export makes one of it that can be restored' "$B/xmigrate" --restore files/old
must_say 'is not a compact file' "$B/xmigrate" --flatten files/new files/old
nothing() {
    [ "$(ls -A files | tr '\n' ' ')" = 'old old.guest ' ] || fail "in the directory is: $(ls -A files)"
}
nothing

# Cut off before each part, and within its first bytes; a bit of each byte of each part's beginning wrong.
for options in "tools=64 type=pv xsave=1 tmem=empty" "tools=32 type=hvm toolstack=1 tmem=ephemeral live=1 late_tmem=1"; do
    must old make files/old $options pages=3 frames=40
    must cp files/old whole
    old list $options pages=3 frames=40 >parts
    while read -r at _; do
        for at in "$at" $((at + 3)); do
            head -c "$at" whole >files/old
            "$B/xmigrate" --inspect files/old --json >said 2>err && fail "$options, cut at $at: $(cat said)"
            [ "$(wc -l <err)" -eq 1 ] || fail "$options, cut at $at: it said: $(cat err)"
            grep -q "\"damage_at\":$at[,}]" said || fail "$options, cut at $at: $(cat said)"
            grep -q 'the file ends in the middle' err || fail "$options, cut at $at: $(cat err)"
        done
        must_say "at byte $at" "$B/xmigrate" --export files/new files/old
        nothing
    done <parts
    must old flip whole files/old "$B/xmigrate" $options pages=3 frames=40
done
