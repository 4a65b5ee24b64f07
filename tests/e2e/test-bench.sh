#!/bin/bash
# SPDX-License-Identifier: MIT
# The benchmark works, on guests too small to measure anything: its figures are of the right shape,
# and it leaves nothing behind.
# deadline: 240
. "$E2E/lib.sh"
needs_stock

mkdir tmp results
export TMPDIR=$T/tmp
must "$B/xmigrate-bench" --size 32M --turns 2 --output results \
    random/tls/2 mixed/plain/2 random/tls/2/pvh/2G/off/fresh >said

python3 - results/bench.json <<'END' || fail "bench.json is not what was promised: $(cat said)"
import json, sys
entries = json.load(open(sys.argv[1]))
seen = {(e["case"], e["who"]) for e in entries}
tls, plain = "random/tls/2/pvh/32M/off", "mixed/plain/2/pvh/32M/off"
wanted = {(c, w) for c in (tls, plain, tls + "/fresh") for w in ("floor", "xmigrate")}
wanted |= {(tls, "stock-openssl"), (plain, "stock"), (tls + "/fresh", "stock-openssl")}
assert wanted <= seen, wanted - seen
for e in entries:
    ours = {"ratio_GBps", "ratio_cpu"} if e["who"] == "xmigrate" else set()
    assert set(e) == {"case", "who", "GBps", "cpu_s_per_GB", "turns"} | ours, e
    assert e["turns"] == 2 and e["GBps"] > 0 and e["cpu_s_per_GB"] > 0, e
END
for file in results/bench.csv results/bench.html; do
    [ -s $file ] || fail "$file is empty"
done
! grep -q '^failed' said || fail "$(grep '^failed' said)"
[ -z "$(ls tmp)" ] || fail "left behind: $(ls tmp)"

must_say "nothing of that name" "$B/xmigrate-bench" nothing/such 2>&1
