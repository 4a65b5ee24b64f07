# SPDX-License-Identifier: MIT
# Guests that are written to files by xmigrate and live on, or are destroyed, and are restored; with
# stock xl at the other end of the file.

SCENARIOS+=(file_checkpoint file_hvm file_save file_notes file_grub)
LONG+=(file_checkpoint_disks file_checkpoint_lvm file_checkpoint_reflink
    file_checkpoint_pause file_frozen_pause)

domain_id() { # HOST NAME
    on "$1" "xl domid $2" || fail "no $2 on $1"
}

# checkpoint HOST NAME [OPTION...]: to /tmp/NAME.ck; it is the same domain afterwards. The pause is in $pause, in ms.
pause=
checkpoint() {
    local id said
    id=$(domain_id "$1" "$2")
    said=$(on "$1" "xmigrate --checkpoint /tmp/$2.ck $2 $soon ${*:3} --json 2>/tmp/ck.err || cat /tmp/ck.err" 300)
    grep -q '"event":"saved"' <<<"$said" || fail "no checkpoint of $2 on $1: $(tail -n 1 <<<"$said")"
    pause=$(sed -n 's/.*"event":"saved".*"downtime_ns":\([0-9]*\).*/\1/p' <<<"$said")
    pause=$((pause / 1000000))
    [ "$(domain_id "$1" "$2")" = "$id" ] || fail "$2 on $1 is another domain"
    echo "checkpoint of $2 on $1: a pause of $pause ms: $(sed -n 's/.*"saved"//p' <<<"$said")"
}

# Live, several times, the same domain; then xl builds the guest again from the last one.
scenario_file_checkpoint() {
    local turn
    create A g pvh
    for turn in 1 2 3; do
        pulse A g
        checkpoint A g
        lived_on A g
        settled A g
    done
    must A "ps | grep '[x]migrate --monitor'"
    verify A /tmp/g.ck
    pulse A g
    must A "xl destroy g && xl restore /tmp/g.ck" 180
    whole A g 0 $((pulse_passes > 2 ? pulse_passes - 2 : 1))
    lived_on A g
    settled A g
    refused 2 'has its UUID' A "xmigrate --restore /tmp/g.ck --name h"
}

# HVM: it runs on with its device model while libxl still writes that one's state, and both are what they were
# when they are built again.
scenario_file_hvm() {
    local how
    create_hvm A g
    device_model_runs A g
    for how in '' --compact; do
        pulse A g
        checkpoint A g $how
        lived_on A g
        device_model_runs A g
        settled A g
        pulse A g
        must A "xl destroy g && xmigrate --restore /tmp/g.ck && rm /tmp/g.ck" 240
        lived_on A g
        device_model_runs A g
        settled A g
    done
}

# PV, whose writes Debian's Xen cannot track: it is copied to memory, and xl builds it again from that.
frozen_copy() {
    checkpoint A g
    lived_on A g
    pulse A g
    must A "xl destroy g && xl restore /tmp/g.ck" 180
    whole A g 0 $((pulse_passes > 2 ? pulse_passes - 2 : 1))
    lived_on A g
    settled A g
}

# Ours reads xl's, and xl reads ours; a PV guest is saved suspended first.
scenario_file_save() {
    local type
    for type in pvh pv; do
        create A g $type
        pulse A g
        must A "xl save g /tmp/g.xl && xmigrate --restore /tmp/g.xl && rm /tmp/g.xl" 240
        lived_on A g
        settled A g
        pulse A g
        must A "xmigrate --save /tmp/g.sv g $soon && ! xl domid g" 240
        must A "xl restore /tmp/g.sv" 180
        lived_on A g
        settled A g
        [ $type = pvh ] || frozen_copy
        must A "xl destroy g; rm -f /tmp/g.*"
    done
}

# median NUMBER...
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# beside HOST NAME TURNS MOST: checkpoints beside xl save -c, whose whole write is the pause, in turns;
# ours may have MOST percent of its median.
beside() {
    local turn said ours=() theirs=() ratio
    for ((turn = 0; turn < $3; turn++)); do
        pulse "$1" "$2"
        checkpoint "$1" "$2"
        ours+=("$pause")
        whole "$1" "$2" "$pulse_tick" 1
        said=$(on "$1" "read b _ </proc/uptime; xl save -c $2 /tmp/$2.xl >&2; read e _ </proc/uptime
            rm -f /tmp/$2.xl; echo \$b \$e" 300)
        theirs+=("$(awk '{ printf "%d", ($2 - $1) * 1000 }' <<<"$(tail -n 1 <<<"$said")")")
        whole "$1" "$2" 0 1
    done
    lived_on "$1" "$2"
    ratio=$(($(median "${ours[@]}") * 100 / $(median "${theirs[@]}")))
    echo "report: pause, median of $3: $(median "${ours[@]}") ms, xl save -c $(median "${theirs[@]}") ms: $ratio %; ${ours[*]}; ${theirs[*]}"
    [ $ratio -le "$4" ] || fail "$ratio % of the pause of xl save -c, and not $4 % at most"
}

scenario_file_checkpoint_pause() {
    create A g pvh devices=1 load="mem=8 still=8 rate=500"
    beside A g 10 15
}

# PV, by a copy in memory.
scenario_file_frozen_pause() {
    create A g pv load="mem=8 still=8 rate=500"
    beside A g 5 70
}

# A guest that counts on its disk, and a hook that copies that while it stands still. The fifth file fits
# its copy, and not the disk that was written to since.
scenario_file_checkpoint_disks() {
    local turn
    create A g pvh devices=1 load="mem=4 still=4 rate=250 count=1"
    for turn in 1 2 3 4 5; do
        pulse A g
        must A "xmigrate --checkpoint /tmp/g.ck g $soon --hook-timeout 60s --while-suspended 'cp /both/disk.img /both/copy.img'" 300
        lived_on A g
    done
    must A "cp /both/copy.img /both/fifth.img"
    must A "xl destroy g"
    refused 2 'wrote to its disk xvda' A "xmigrate --restore /tmp/g.ck"
    must A "xmigrate --restore /tmp/g.ck --disk xvda=/both/fifth.img" 240
    whole A g 0 $((pulse_passes + 1))
    must A "xl destroy g && xmigrate --restore /tmp/g.ck --disks-as-they-are" 240
    tick A g >/dev/null || exit 1
    guest_says A g 'DISK BAD'
    must A "xl destroy g; rm -f /both/copy.img /both/fifth.img"
}

# snapshot_fits DISK COPY HOOK: the same with a hook that takes a snapshot.
snapshot_fits() {
    create A g pvh devices="$1" load="mem=4 still=4 rate=250 count=1"
    pulse A g
    must A "xmigrate --checkpoint /tmp/g.ck g $soon --hook-timeout 60s --while-suspended '$3' --json |
        grep -o '\"hook_ns\":[0-9]*' && echo report: the hook: $3" 300
    lived_on A g
    must A "xl destroy g && xmigrate --restore /tmp/g.ck --disk xvda=$2" 240
    whole A g 0 $((pulse_passes + 1))
    must A "xl destroy g"
}

scenario_file_checkpoint_lvm() {
    must A "modprobe dm-snapshot; modprobe loop; truncate -s 64M /tmp/pv.img; losetup /dev/loop6 /tmp/pv.img &&
        pvcreate -q /dev/loop6 && vgcreate -q vg /dev/loop6 && lvcreate -q -y -Wn -n g -L 16M vg" 120
    snapshot_fits /dev/vg/g /dev/vg/g-ck 'lvcreate -q -s -n g-ck -L 8M /dev/vg/g'
    must A "vgremove -q -y vg; losetup -d /dev/loop6; rm /tmp/pv.img" 120
}

scenario_file_checkpoint_reflink() {
    must A "modprobe xfs; modprobe loop; truncate -s 320M /tmp/xfs.img; mkfs.xfs -q -m reflink=1 /tmp/xfs.img &&
        mkdir -p /images && mount -t xfs -o loop /tmp/xfs.img /images && truncate -s 16M /images/g.img" 120
    snapshot_fits /images/g.img /images/g.ck.img 'cp --reflink=always /images/g.img /images/g.ck.img'
    must A "umount /images; rm /tmp/xfs.img"
}

# GRUB, which does not say that it can suspend and does not: it is refused within 8 s, one way or the other, and
# runs on. It has 5 s to answer; on a busy machine the looks alone, as --check takes them, may need the rest.
scenario_file_grub() {
    must A "cat >/etc/xen/grub.cfg <<'END'
name=\"grub\"
type=\"pv\"
kernel=\"/boot/grub-xen\"
memory=64
vcpus=1
END
xl create -q /etc/xen/grub.cfg && xl sched-credit2 -d grub -c 50; sleep 5" 120
    must A "read a _ </proc/uptime; xmigrate --check grub; read b _ </proc/uptime
        xmigrate --save /tmp/grub.sv grub; code=\$?; read e _ </proc/uptime
        { [ \$code = 2 ] || [ \$code = 3 ]; } && [ ! -e /tmp/grub.sv ] && xl domid grub &&
        echo \$a \$b \$e \$code | awk '{
            check = \$2 - \$1; took = \$3 - \$2; limit = 5 + 3 * check
            printf \"report: GRUB refused with %d after %.2f s, a look takes %.2f s\n\", \$4, took, check
            exit took > (limit > 8 ? limit : 8)
        }'" 120
    must A "xl destroy grub"
}

# Its kernel's notes: from its file, and when that is hidden from its memory.
scenario_file_notes() {
    local type
    for type in pvh pv; do
        create A g $type
        must A "xmigrate --check g | tee /tmp/check; grep 'kernel .*linux .*from its file' /tmp/check &&
            grep 'resume .*SUSPEND_CANCEL' /tmp/check" 120
        must A "mv /boot/vmlinux /boot/hidden; xmigrate --check g | tee /tmp/check; mv /boot/hidden /boot/vmlinux
            grep 'kernel .*linux .*found in memory' /tmp/check && grep 'resume .*SUSPEND_CANCEL' /tmp/check" 120
        # The other host has all that it needs.
        [ $type = pv ] || {
            listen B
            must A "xmigrate --check hostB g | tee /tmp/check; grep 'other host .* ok ' /tmp/check &&
                grep 'in the way: 0' /tmp/check" 120
        }
        pulse A g
        checkpoint A g
        must A "xmigrate --inspect /tmp/g.ck | grep 'kernel .*linux'"
        lived_on A g
        must A "xl destroy g; rm -f /tmp/g.*"
    done
}
