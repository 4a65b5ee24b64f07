#!/bin/bash
# SPDX-License-Identifier: MIT
# What a guest's kernel says of itself is found, in its memory and in its file, travels with it, and
# decides how it runs on; one that lies changes that and no more. Entries of page tables that are not
# present and name a frame all the same are translated, by every way that a guest can go.
# deadline: 600
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
two_hosts --fragment 60
listen b
mkdir files

# with_kernel FILE: so the configuration of g says.
with_kernel() {
    must on a python3 "$E2E/set_config.py" g '{"c_info": {"type": "pvh", "name": "g"},
        "b_info": {"max_vcpus": 2, "max_memkb": 16384, "target_memkb": 16384, "type.pvh": {}, "kernel": "'"$1"'"}}'
}

# kernel_is WORDS: of g, as a new checkpoint's file says.
kernel_is() {
    filed --checkpoint files/g g "${@:2}"
    must "$B/xmigrate" --inspect files/g >said
    grep -q -- "$1" said || fail "not '$1': $(cat said)"
}

# What its configuration says of a crash may have been done already.
crashed_or_gone() {
    ! "$X" list a | awk '$2 == "g" { print $7 }' | grep -qv crashed
}

for type in pvh pv pv32 hvm; do
    guest a g --type $type --memory 16M --suspend-cancel no
    domid=$("$X" id a g)
    refused 2 'no note SUSPEND_CANCEL' a --live "127.0.0.1:$port" g
    refused 2 'no note SUSPEND_CANCEL' a --offline "127.0.0.1:$port" g
    xm a --check g >said 2>&1
    [ $? -eq 2 ] && grep -q 'resume .* NO .*new domain' said || fail "--check said: $(cat said)"
    [ "$("$X" id a g)" = "$domid" ] || fail "$type: it is another domain"
    # So it is built again from its file, without being told to; and it crashes if it is not.
    kernel_is 'kernel .*xensim 1, .*(memory): .*new domain only'
    [ "$("$X" id a g)" != "$domid" ] || fail "$type: it is the same domain"
    lives g
    xf --checkpoint files/g g --resume-as cooperative >said 2>&1
    wait_for 10 crashed_or_gone
    "$X" destroy a g >/dev/null 2>&1
    wait_for 10 nothing_on a

    guest a g --type $type --memory 16M
    domid=$("$X" id a g)
    kernel_is 'kernel .*xensim 1, .*(memory): .*can run on'
    [ "$("$X" id a g)" = "$domid" ] || fail "$type: it is another domain"
    must "$X" destroy a g
    guest a g --type $type --memory 16M --suspend-cancel none
    filed --checkpoint files/g g
    must "$B/xmigrate" --inspect files/g >said
    ! grep -q kernel said || fail "$type: notes from nowhere: $(cat said)"
    lives g
    must "$X" destroy a g
    echo "$type"
done

# The file comes first. What it says changes the way, and not what becomes of the guest.
"$E2E/make_kernel.py" files/linux linux 1
"$E2E/make_kernel.py" files/no linux 0
"$E2E/make_kernel.py" files/long linux 1 4294967292
"$E2E/make_kernel.py" files/grub GRUB 0
mkfifo files/fifo
for kernel in linux no long grub fifo nothing; do
    guest a g --type pvh --memory 16M
    with_kernel "$PWD/files/$kernel"
    domid=$("$X" id a g)
    case $kernel in
    linux) kernel_is 'kernel .*linux 9.9, .*(file): .*can run on' ;;
    no) kernel_is 'kernel .*linux 9.9, .*(file): .*new domain only' ;;
    long) kernel_is 'kernel .*linux , .*(file): .*new domain only' ;;
    *) kernel_is 'kernel .*xensim 1, .*(memory)' ;;
    esac
    case $kernel in
    no | long) [ "$("$X" id a g)" != "$domid" ] || fail "$kernel: it is the same domain" ;;
    *) [ "$("$X" id a g)" = "$domid" ] || fail "$kernel: it is another domain" ;;
    esac
    lives g
    must "$X" destroy a g
    echo "kernel $kernel"
done
rm files/*

# Entries that are not present and name a frame: on lanes, into a file and out of it.
for type in pv pv32; do
    marked=(--type $type --memory 24M --remap 2000 --fork 20 --pte-mark 0x600:0x400)
    guest a g "${marked[@]}"
    sleep 0.5
    filed --checkpoint files/g g
    lives g
    move a g
    moved a b g
    must "$X" destroy b g
    filed --restore files/g
    lives g
    xm a --offline "127.0.0.1:$port" g >said 2>&1 || fail "offline: $(cat said)"
    moved a b g
    must "$X" destroy b g
    # Without notes they are left as they are, and name frames of nobody's.
    guest a g "${marked[@]}" --suspend-cancel none
    sleep 0.5
    move a g
    wait_for 20 is_called b g
    ! "$X" verify b g >said || fail "$type: entries that nobody knew of are right: $(cat said)"
    must "$X" destroy b g
    echo "$type, marked"
done
