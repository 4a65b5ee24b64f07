#!/bin/bash
# SPDX-License-Identifier: MIT
# A trusted source whose guest asks for what reaches this host is refused, by the field and the line
# that would let it in; with that line it comes in. The policy is read at the start and on SIGHUP.
# deadline: 120
. "$E2E/lib.sh"
host b
mkdir -m 700 run conf
# policy LINE...: is all that the file says; the listener has read it.
policy() {
    local before
    before=$(grep -c 'policy' err)
    printf '%s\n' "$@" >conf/policy.new
    mv conf/policy.new conf/policy
    kill -HUP "$pid"
    wait_for 20 said_more "$before"
}
said_more() {
    [ "$(grep -c 'policy' err)" -gt "$1" ]
}
# answers CASE WORDS
answers() {
    local said
    said=$(timeout 60 python3 "$E2E/hostile_source.py" "$port" "asks-$1") || fail "$1: $said"
    case $said in "$2"*) ;; *) fail "$1: answered '$said', not '$2'" ;; esac
    case $said in REFUSE*)
        last=${said#*write \"}
        last=${last%%\" into*}
        ;;
    esac
}

# One that makes no sense, or that anybody can write: the listener does not start.
echo 'disk' >conf/policy
said=$(timeout 20 env XMIGRATE_RUN_DIR="$T/run" "$X" run b -- "$B/xmigrate" --config-dir "$T/conf" \
    --insecure --listen 127.0.0.1:0 2>&1)
[ $? -eq 2 ] || fail "it started with a bad policy: $said"
case $said in *"conf/policy line 1: a line is a word and one value"*) ;; *) fail "it said: $said" ;; esac
chmod 666 conf/policy
said=$(timeout 20 env XMIGRATE_RUN_DIR="$T/run" "$X" run b -- "$B/xmigrate" --config-dir "$T/conf" \
    --insecure --listen 127.0.0.1:0 2>&1)
[ $? -eq 2 ] || fail "it started with a policy of mode 0666: $said"
case $said in *"can be written by others"*) ;; *) fail "it said: $said" ;; esac
rm conf/policy

launch out err env XMIGRATE_RUN_DIR="$T/run" "$X" run b -- "$B/xmigrate" --config-dir "$T/conf" \
    --insecure --listen 127.0.0.1:0
pid=$launched
wait_for 30 has_said "$pid" port out
port=$(sed -n 's/.*port \([0-9]*\).*/\1/p;q' out)
[ -n "$port" ] || fail "no listener: $(cat err)"
while read -r case field; do
    answers "$case" "REFUSE the destination's policy does not let \"g\" have $field"
    # What a hand may not undo: libxl refuses the rest of these itself.
    lines+=("$last")
done <<'CASES'
iomem b_info.iomem
ioports b_info.ioports
irqs b_info.irqs
p9s p9s
vdispls vdispls
channels channels
usbctrls usbctrls
label c_info.ssid_label
model b_info.device_model
model-args b_info.extra
kernel b_info.kernel /etc/shadow
ramdisk b_info.ramdisk /etc/shadow
bootloader b_info.bootloader /tmp/anything
shim b_info.type.pvh.pvshim_path
vif-script nics.script /tmp/anything
disk-script disks.script ../../../tmp/anything
disk disks.pdev_path /dev/sda
disk-backend disks.backend_domname
bridge nics.bridge br-mgmt
vnc vfbs.vnc.listen 0.0.0.0
vcpus b_info.max_vcpus 129
CASES
answers dtdevs 'REFUSE g has a device of this host'
answers disk-tty 'REFUSE "g" wants /dev/pts/ptmx for a disk, which is neither a file nor a block'
answers memory ACCEPT

# Each with the line that its refusal named.
policy "${lines[@]}"
grep -q 'holds from now on' err || fail "it said: $(cat err)"
for case in iomem irqs p9s label kernel bootloader vif-script disk bridge vnc vcpus; do
    answers $case ACCEPT
done
policy 'memory 64M'
answers memory "REFUSE the destination's policy does not let \"g\" have b_info.max_memkb 131072 KiB"
answers iomem REFUSE
# A bad one changes nothing.
policy 'memory 64M' 'whatever x'
grep -q 'the policy stays as it was: .*conf/policy line 2' err || fail "it said: $(cat err)"
answers memory REFUSE
policy "$last"
answers memory ACCEPT
kill -0 "$pid" || fail "the listener ended: $(cat err)"
