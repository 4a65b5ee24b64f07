#!/bin/bash
# SPDX-License-Identifier: MIT
# --pair: both hosts trust each other after one command, over what stands for ssh here; where that
# fails nothing is changed, and what to do by hand is said.
. "$E2E/lib.sh"
. "$E2E/move.sh"
host a
host b
mkdir -p -m 700 run-a run-b bin
guest a g --type pvh

# ssh: runs the command on b, whose shell greets; $SSH_CODE is how it ends.
cat >bin/ssh <<'END'
#!/bin/bash
[ "$1" = -- ] && [ "$2" = root@hostB.example ] || { echo "ssh: $*" >&2; exit 255; }
[ -z "$SSH_CODE" ] || exit "$SSH_CODE"
echo "Welcome to b"
exec sh -c "$3"
END
cat >bin/xmigrate <<'END'
#!/bin/bash
exec env XMIGRATE_RUN_DIR="$T/run-b" "$X" run b -- "$B/xmigrate" --config-dir "$T/etc-b" "$@"
END
chmod +x bin/*
export T X B PATH=$T/bin:$PATH

refused 1 'wanted is [USER@]HOST' a --pair -- '-oProxyCommand=x'
refused 1 'wanted is [USER@]HOST' a --pair 'b;true'
SSH_CODE=255 xm a --pair root@hostB.example >said 2>&1
[ $? -eq 2 ] || fail "not refused: $(cat said)"
grep -q 'nothing was changed here' said && grep -q 'by hand: on hostB.example xmigrate --trust SHA256:' said ||
    fail "said: $(cat said)"
[ ! -e etc-a/trusted ] || fail "trusts somebody: $(cat etc-a/trusted)"

must xm a --trust SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA hostB.example
xm a --pair root@hostB.example >said 2>&1
[ $? -eq 2 ] || fail "not refused: $(cat said)"
grep -q 'hostB.example trusts this host now, but is not trusted here: ' said &&
    grep -q 'by hand: on hostB.example' said || fail "said: $(cat said)"
must xm a --untrust hostB.example

must xm a --pair root@hostB.example >said
grep -q "hostB.example ($(fingerprint b))" said || fail "said: $(cat said)"
grep -qx "$(fingerprint b) hostB.example" etc-a/trusted || fail "$(cat etc-a/trusted)"
grep -qx "$(fingerprint a) $(hostname)" etc-b/trusted || fail "$(cat etc-b/trusted)"
must xm a --pair root@hostB.example other
grep -qx "$(fingerprint b) other" etc-a/trusted || fail "$(cat etc-a/trusted)"
listen b
move a g
moved a b g
