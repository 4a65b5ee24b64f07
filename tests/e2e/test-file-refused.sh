#!/bin/bash
# SPDX-License-Identifier: MIT
# What is no file, no room, no guest, a damaged file, a name or UUID that is taken, disks that are newer
# than memory: one line, the old file as it was, nothing half-built.
# deadline: 400
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
file_host --mem 160M
mkdir files
guest a g --type pvh --memory 32M
filed --checkpoint files/g g
cp files/g old

# Names.
mkdir files/dir
mkfifo files/fifo
ln -s g files/link
for kind in checkpoint save; do
    file_refused 2 'is a directory' --$kind files/dir g
    file_refused 2 'is a FIFO' --$kind files/fifo g
    file_refused 2 'is a symbolic link' --$kind files/link g
    file_refused 2 'is a device' --$kind /dev/null g
    file_refused 2 'No such file' --$kind none/g g
    file_refused 2 'there is no domain "h"' --$kind files/g h
done
file_refused 2 'is not a regular file' --restore files/fifo
file_refused 2 'is not a regular file' --restore files/dir
file_refused 2 'No such file' --restore files/none
rm -r files/dir files/fifo files/link
latin=$'files/caf\xe9'
for what in "--checkpoint $latin g" "--save $latin g" "--restore $latin" "--inspect $latin" "--inspect $latin --json"; do
    file_refused 2 'name is not UTF-8: ' $what
done

# In place of what is not its own earlier file.
guest a h --type pvh --memory 32M
echo "nobody's" >files/text
for kind in checkpoint save; do
    file_refused 2 'holds another guest, "g": give another name, or --force' --$kind files/g h
    file_refused 2 'is there, and is not a saved guest' --$kind files/text h
done
cmp -s files/g old || fail "the old file is not what it was"
grep -q nobody files/text || fail "what was there is not what it was"
filed --checkpoint files/text h --force
filed --checkpoint files/text h
must "$X" destroy a h
rm files/text

# A file that cannot become as large as it has to.
small() {
    (trap '' XFSZ; ulimit -f 20000; xf "$@")
}
for kind in checkpoint save; do
    small --$kind files/g g >said 2>&1
    [ $? -eq 3 ] || fail "with too little room: $(cat said)"
    grep -q '"g" runs on: .*File too large' said || fail "it said: $(cat said)"
    cmp -s files/g old || fail "the old file is not what it was"
    nothing_left g
    lives g
done

# A disk that is full: seen beforehand, or while it is written, where compression makes that unknown.
full() { # CODE WORDS OPTION...
    unshare -m sh -c 'mount -t tmpfs -o size=24M none files && exec "$@"' sh \
        env XMIGRATE_RUN_DIR="$T/run-a" "$X" run a -- "$B/xmigrate" "${@:3}" >said 2>&1
    [ $? -eq "$1" ] && grep -q "$2" said || fail "with a full disk: $(cat said)"
    lives r
    nothing_left g
}
guest a r --type pvh --memory 32M --content random=100
for kind in checkpoint save; do
    full 2 'MiB are needed and .* MiB are free' --$kind files/x r
    full 3 '"r" runs on: .*No space left' --$kind files/x r --compact
done
must "$X" destroy a r

# Stopped by a signal.
for kind in checkpoint save; do
    launch out err on a "$B/xmigrate" --$kind files/g g --json
    wait_for 20 has_said $launched '"start"' out
    pkill -TERM -P "$launched" -x xmigrate || kill -TERM "$launched"
    wait $launched
    code=$?
    [ $code -eq 3 ] || [ $code -eq 0 ] || fail "it ended with $code: $(cat err)"
    [ $code -eq 0 ] || cmp -s files/g old || fail "the old file is not what it was"
    [ $code -eq 3 ] || break # it was faster
    lives g
done
"$X" list a | grep -q ' g ' || filed --restore files/g
cp old files/g

# While one runs there is no other.
filed --checkpoint files/g g
[ "$(ls -A files)" = g ] || fail "in the directory is: $(ls -A files)"

# Damaged files.
cut() { # BYTES
    head -c "$1" old >bad
}
for bytes in 0 47 60 1000 100000; do
    cut $bytes
    "$B/xmigrate" --inspect bad --json >said 2>/dev/null
    [ $? -eq 2 ] && grep -q "\"damage_at\":$bytes[,}]" said || fail "cut at $bytes: $(cat said)"
    file_refused 2 'the file ends in the middle' --restore bad --clone --name h
done
cut $(($(stat -c %s old) - 8))
file_refused 2 'the file ends in the middle' --restore bad --clone --name h
cp old bad
echo >>bad
file_refused 2 'follow its end' --restore bad --clone --name h
echo nonsense >bad
file_refused 2 'at byte' --restore bad
is_gone a h
no_record

# Names, UUIDs and memory that are taken.
file_refused 2 'has its UUID' --restore old
xf --restore old --json 2>/dev/null | grep -q '"guest":"here"' || fail "it does not say that the guest is here"
file_refused 2 'a domain named "g" exists' --restore old --clone
filed --restore old --clone --name h --paused
[ "$("$X" list a | grep -c MiB)" -eq 2 ] || fail "$("$X" list a)"
must "$X" destroy a h
guest a large --type pvh --memory 100M --dirty 0
file_refused 2 'too little memory' --restore old --clone --name h
must "$X" destroy a large

# What this host has not settled: the guest may run elsewhere.
export T
filed --checkpoint files/g g --while-suspended 'cp $T/run-a/out-*.json $T/record; ls $T/run-a/out-*.json >$T/name'
must "$X" destroy a g
no_record
out=$(cat name)
[ -s record ] || fail "there was no record"
cp record "$out"
file_refused 2 'not settled: xmigrate --recover first' --restore old
sed 's/"phase": "live"/"phase": "given"/; s/"host": ""/"host": "there.example"/' record >"$out"
file_refused 2 'given to there.example, where it may run' --restore old
xf --restore old --json 2>/dev/null | grep -q '"guest":"unknown"' || fail "it says to know where the guest is"
filed --restore old --clone --name h
must "$X" destroy a h
must rm "$out"
filed --restore old
lives g
must "$X" destroy a g
no_record

# Guests that cannot suspend, or do not say that they can: refused at once, or after 5 s, and it is left
# as it was.
guest a g --type pvh --memory 32M --feature-suspend 0
for kind in checkpoint save; do
    start=$SECONDS
    file_refused 2 'says that it cannot suspend' --$kind files/g g
    [ $((SECONDS - start)) -le 2 ] || fail "it took $((SECONDS - start)) s to refuse it"
done
must "$X" destroy a g
guest a g --type pv --memory 32M --feature-suspend none --suspend refuse
cp old files/g
start=$SECONDS
xf --checkpoint files/g g >said 2>&1
[ $? -eq 3 ] || fail "a guest that does not answer: $(cat said)"
[ $((SECONDS - start)) -le 40 ] || fail "it took $((SECONDS - start)) s"
grep -q '"g" runs on: .*did not acknowledge .* within 5 s' said || fail "it said: $(cat said)"
lives g
cmp -s files/g old || fail "the old file is not what it was"
# It is known by that, until somebody wants it to be asked again.
start=$SECONDS
file_refused 2 'did not acknowledge an earlier request' --save files/g g
[ $((SECONDS - start)) -le 2 ] || fail "it took $((SECONDS - start)) s to refuse it"
xf --checkpoint files/g g --suspend-timeout 60s >said 2>&1
[ $? -eq 3 ] || fail "asked again: $(cat said)"
lives g
must "$X" destroy a g
guest a g --type pvh --memory 32M --feature-suspend none
filed --checkpoint files/g g
lives g
must "$X" destroy a g

# A checkpoint with a disk that the guest wrote to afterwards; a save's are as it left them.
truncate -s 1M "$T/disk" "$T/copy"
guest a g --type pvh --memory 32M --disk qdisk:"$T/disk"
filed --checkpoint files/g g
file_refused 2 'wrote to its disk xvda' --restore files/g
file_refused 2 'the guest itself uses its disk xvda' --restore files/g --clone --name h
file_refused 2 'has no such disk' --restore files/g --clone --name h --disk xvdz=/nowhere
# With a hook that copies them while the guest stands still: it fits then.
hook='echo "$XMIGRATE_DOMAIN $XMIGRATE_DOMID $XMIGRATE_FILE $XMIGRATE_WRITABLE_DISKS" >hook
    "$X" list a >list; cp disk copy'
export X
filed --checkpoint files/g g --while-suspended "cd $T; $hook"
[ "$(cat hook)" = "g $("$X" id a g) $T/files/g xvda=$T/disk" ] || fail "it was told: $(cat hook)"
grep -q ' g .*suspended' list || fail "the guest did not stand still: $(cat list)"
grep -q '^    hook  ' said || fail "its time is not said: $(cat said)"
lives g
# One that fails, hangs, or is killed: no checkpoint, and what it started is gone, too.
cp files/g old
for hook in 'exit 7' 'kill -9 $$' 'sleep 987 & sleep 986' 'no-such-command'; do
    xf --checkpoint files/g g --while-suspended "$hook" --hook-timeout 1s >said 2>&1
    [ $? -eq 3 ] || fail "$hook: $(cat said)"
    grep -q '"g" runs on: --while-suspended: it ' said || fail "$hook: it said: $(cat said)"
    cmp -s files/g old || fail "$hook: the old file is not what it was"
    lives g
    nothing_left g
done
! pgrep -xf 'sleep 98[67]' >/dev/null || fail "what the hook started is still there"
filed --restore files/g --clone --name h --disk xvda="$T/copy"
lives h
must "$X" destroy a h
filed --restore files/g --clone --name h --disks-as-they-are
lives h
must "$X" destroy a h
filed --save files/g g
file_refused 2 'the guest itself uses its disk xvda' --restore files/g --clone --name h
filed --restore files/g
lives g
nothing_left g

# A guest that is saved and cannot be destroyed: the file is the guest, and --recover ends the domain.
FAULT_IN=--save FAULT=call:libxl_domain_destroy:fail FAULT_LAST=99 xf --save files/g g >said 2>&1
[ $? -eq 4 ] || fail "a domain that cannot be destroyed: $(cat said)"
grep -q '"g" is saved in .*files/g, but its suspended domain .* could not be destroyed' said || fail "it said: $(cat said)"
state_is a g suspended
must "$B/xmigrate" --inspect files/g >said
file_refused 2 'has its UUID' --restore files/g
must on a "$B/xmigrate" --recover
is_gone a g
nothing_left g
filed --restore files/g
lives g
