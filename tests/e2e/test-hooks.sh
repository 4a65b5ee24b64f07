#!/bin/bash
# SPDX-License-Identifier: MIT
# hooks.d: programs run at both ends before the suspend, after the start and after a failure, and never
# in the pause; what others than root could have written is refused before a move begins.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
guest a g --type pvh --memory 64M --dirty 500
listen b

# hook HOST WHEN NAME: what it does comes from standard input, after it has noted what it was told.
hook() {
    local dir=$T/etc-$1/hooks.d/$2
    (umask 022 && mkdir -p "$dir")
    {
        echo '#!/bin/sh'
        echo "echo \"\$XMIGRATE_WHEN \$XMIGRATE_ROLE \$XMIGRATE_DOMAIN \$XMIGRATE_GUEST\" >>$T/ran"
        cat
    } >"$dir/$3"
    chmod 755 "$dir/$3"
}
none() {
    rm -rf "$T"/etc-?/hooks.d "$T/ran"
}
ran() {
    [ "$(cat "$T/ran")" = "$1" ] || fail "ran: $(cat "$T/ran"), not: $1"
}

# As they should be, the guest runs meanwhile, and what they write is told.
for host in a b; do
    for when in before-suspend after-start failed; do
        echo "env | grep -c '^XMIGRATE_'; exit 0" | hook $host $when 20-tell
    done
done
hook a before-suspend 10-first <<END
XENSIM_DIR=$XENSIM_DIR LD_PRELOAD= $X list a | awk '\$2 == "g" { print "it is", \$7 }'
[ -n "\$XMIGRATE_DOMID" ] && [ "\$XMIGRATE_PEER" = 127.0.0.1 ]
END
echo 'exit 1' | hook a before-suspend ignored.dpkg-old
echo 'exit 1' | hook a before-suspend not-executable
chmod -x "$T/etc-a/hooks.d/before-suspend/not-executable"
move a g
moved a b g
grep -q 'hook before-suspend/10-first: it is running' move || fail "said: $(cat move)"
all_ran() { [ "$(wc -l <ran)" -ge 5 ]; }
wait_for 20 all_ran
[ "$(sort ran)" = "$(printf '%s\n' 'after-start destination g ' 'after-start source g ' \
    'before-suspend destination g ' 'before-suspend source g ' 'before-suspend source g ')" ] ||
    fail "ran: $(cat ran)"
[ "$(sed -n 's/ .*//p' ran | uniq | tr '\n' ' ')" = 'before-suspend after-start ' ] ||
    fail "in that order: $(cat ran)"
none

# One that fails fails the move, and the guest runs on.
listen a
echo 'echo not now >&2; exit 7' | hook b before-suspend no
for host in a b; do echo | hook $host failed tell; done
xm b --live "127.0.0.1:$port" g >move 2>&1
[ $? -eq 3 ] || fail "it did not fail: $(cat move)"
tail -n 1 move | grep -q 'hook before-suspend/no: it ended with exit code 7; "g" runs on here' ||
    fail "said: $(cat move)"
grep -q 'hook before-suspend/no: not now' move || fail "said: $(cat move)"
stayed b a g
both_failed() { [ "$(wc -l <ran)" = 3 ]; }
wait_for 20 both_failed
grep -qx 'failed source g here' ran && grep -qx 'failed destination g there' ran || fail "ran: $(cat ran)"
none
echo 'exit 7' | hook a before-suspend no
refused 2 'hook before-suspend/no: it ended with exit code 7' b --live "127.0.0.1:$port" g
stayed b a g
none

# Who hangs is killed with the move.
echo 'sleep 60 & sleep 60' | hook b before-suspend hang
moving_hooks() { grep -qs before-suspend ran; }
begin_move b --live "127.0.0.1:$port" g
wait_for 20 moving_hooks
must on b "$B/xmigrate" --cancel g
wait_for 8 has_ended
ended 3
untouched b a g
none

# Whoever else could have written one is refused, at either end.
dir=$T/etc-b/hooks.d/before-suspend
echo 'exit 0' | hook b before-suspend tell
chmod 775 "$dir/tell"
refused 2 'writable by others than root' b --live "127.0.0.1:$port" g
chmod 755 "$dir/tell" && chmod 777 "$T/etc-b/hooks.d"
refused 2 'writable by others than root' b --live "127.0.0.1:$port" g
chmod 755 "$T/etc-b/hooks.d" && chown 65534 "$dir"
refused 2 "is user 65534's" b --live "127.0.0.1:$port" g
chown 0 "$dir" && ln -s /bin/true "$dir/link"
refused 2 'not a plain file' b --live "127.0.0.1:$port" g
none
echo 'exit 0' | hook a failed tell
chmod 757 "$T/etc-a/hooks.d/failed"
refused 2 'writable by others than root' b --live "127.0.0.1:$port" g
none

# Suspended first, too.
echo 'exit 0' | hook b before-suspend tell
xm b --offline "127.0.0.1:$port" g >move 2>&1 || fail "said: $(cat move)"
moved b a g
ran 'before-suspend source g '
