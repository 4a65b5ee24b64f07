# SPDX-License-Identifier: MIT
# lib.sh: what scenarios are written with. Sourced after hosts.sh, inside a scenario's subshell. All
# limits are several times what a quiet machine needs.

# fail WHY...: ends the scenario.
fail() {
    echo "FAIL: $*"
    echo "$*" >"$LAB_DIR/why"
    exit 1
}

# must HOST COMMAND [DEADLINE]: runs it; any exit code but 0 fails the scenario.
must() {
    local output code
    output=$(on "$@")
    code=$?
    [ -z "$output" ] || echo "$output"
    case $code in
    0) ;;
    124) fail "on $1: ${2%%$'\n'*}: did not end in time" ;;
    125) fail "on $1: ${2%%$'\n'*}: the host died" ;;
    *) fail "on $1: ${2%%$'\n'*}: exit $code: $(tail -n 1 <<<"$output")" ;;
    esac
}

# must_not HOST COMMAND [DEADLINE]: it has to end by itself, and not with 0.
must_not() {
    local output code
    output=$(on "$@")
    code=$?
    [ -z "$output" ] || echo "$output"
    case $code in
    0) fail "on $1: ${2%%$'\n'*}: succeeded and should not" ;;
    124 | 125) fail "on $1: ${2%%$'\n'*}: did not end" ;;
    esac
    return $code
}

# create HOST NAME TYPE [key=value ...]: starts a guest and waits for its first pass over its
# memory. Keys: memory vcpus load (arguments of guest/load.c) devices (1: a disk and a vif; phy: the
# disk is a whole block device and not a file; else that block device, or that file: *.img) reboot (on_reboot).
create() {
    local host=$1 name=$2 type=$3 memory=128 vcpus=1 devices=0 reboot=restart
    local load="mem=4 still=4 rate=250" word extra=
    local disk="format=raw,vdev=xvda,access=rw,script=block-lab,target=/both/disk.img"
    shift 3
    for word in "$@"; do
        case ${word%%=*} in
        memory | vcpus | load | devices | reboot) local "${word%%=*}=${word#*=}" ;;
        *) fail "create: no key ${word%%=*}" ;;
        esac
    done
    for word in $load; do extra+=" lab.$word"; done
    [ "$devices" != phy ] || devices=/dev/lab/guest
    [[ $devices != /dev/* ]] || disk="format=raw,vdev=xvda,access=rw,target=$devices"
    [[ $devices != /*.img ]] || disk="format=raw,vdev=xvda,access=rw,script=block-lab,target=$devices"
    if [ "$devices" != 0 ]; then
        extra+=" lab.devices=1 lab.ip=10.0.0.9"
        truncate -s 16M "$LAB_DIR/both/disk.img"
    fi
    must "$host" "cat >/etc/xen/$name.cfg <<'END'
name=\"$name\"
type=\"$type\"
kernel=\"/boot/vmlinux\"
ramdisk=\"/boot/guest.gz\"
memory=$memory
vcpus=$vcpus
extra=\"console=hvc0 rdinit=/init loglevel=4$extra\"
on_crash=\"preserve\"
on_reboot=\"$reboot\"
$([ "$type" = pvh ] && echo 'tsc_mode="native"')
$([ "$devices" != 0 ] && echo "disk=[\"$disk\"]
vif=[\"mac=00:16:3e:00:00:09,bridge=xenbr0,script=vif-lab\"]")
END
xl create -q /etc/xen/$name.cfg" 180
    whole "$host" "$name" 0 1
}

# allow_hvm: all hosts let the guest of create_hvm in, whose listeners read that when they start: it has a
# card that libxl knows nothing of, and no firmware of Xen's.
allow_hvm() {
    local each
    for each in "${HOSTS[@]}"; do
        must $each "mkdir -p -m 700 /etc/xmigrate
            for field in b_info.extra_hvm b_info.type.hvm.firmware; do
                grep -qx \"allow \$field\" /etc/xmigrate/policy || echo \"allow \$field\" >>/etc/xmigrate/policy
            done"
    done
}

# create_hvm HOST NAME [LINE...]: an HVM guest with a device model, of guest/hvm.c. Lines are added to
# its configuration.
create_hvm() {
    local host=$1 name=$2
    shift 2
    allow_hvm
    must "$host" "cat >/etc/xen/$name.cfg <<'END'
name=\"$name\"
type=\"hvm\"
firmware_override=\"/boot/hvm-guest\"
memory=12
vcpus=1
serial=\"pty\"
vga=\"none\"
vnc=0
usb=0
device_model_args_hvm=[\"-device\", \"rtl8139,romfile=\"]
on_crash=\"preserve\"
$(printf '%s\n' "$@")
END
xl create -q /etc/xen/$name.cfg || { tail -n 5 /var/log/xen/*; false; }" 180
    whole "$host" "$name" 0 1
}

# create_hvm_linux HOST NAME [LOAD]: Linux with PV drivers in an HVM guest: a PV disk (xvda), an emulated
# one beside it (sda) and a vif. It takes minutes to its first tick. The emulated disk is no file on the
# share: QEMU reads straight into the guest's memory, and 9p pins what it reads into, which cannot be done
# with another domain's memory.
create_hvm_linux() {
    local host=$1 name=$2 load="mem=4 still=4 rate=250" word extra= each
    for word in ${3:-$load}; do extra+=" lab.$word"; done
    truncate -s 16M "$LAB_DIR/both/disk.img"
    for each in "${HOSTS[@]}"; do must "$each" "cp /both/vmlinuz /boot/"; done
    # Without xen_emul_unplug Linux would have the emulated disk taken away.
    must "$host" "cat >/etc/xen/$name.cfg <<'END'
name=\"$name\"
type=\"hvm\"
kernel=\"/boot/vmlinuz\"
ramdisk=\"/boot/guest.gz\"
memory=256
vcpus=1
vga=\"none\"
vnc=0
usb=0
extra=\"console=hvc0 rdinit=/init loglevel=4 xen_emul_unplug=unnecessary lab.devices=1 lab.ide=1 lab.ip=10.0.0.9$extra\"
on_crash=\"preserve\"
disk=[\"format=raw,vdev=xvda,access=rw,script=block-lab,target=/both/disk.img\",
      \"format=raw,vdev=hdb,access=rw,backendtype=qdisk,target=/dev/lab/guest\"]
vif=[\"mac=00:16:3e:00:00:09,bridge=xenbr0,script=vif-lab,type=vif\"]
END
xl create -q /etc/xen/$name.cfg || { tail -n 5 /var/log/xen/*; false; }" 300
    tick "$host" "$name" 0 "${HVM_LINUX_DEADLINE:-600}" >/dev/null || exit 1
    whole "$host" "$name" 0 1
}

# device_model_runs HOST NAME: it says so itself, and the guest's frames come by.
device_model_runs() {
    local frames end=$((SECONDS + 60))
    must "$1" "turns=0; until qmp $2 query-status | grep '\"status\": \"running\"'; do
        turns=\$((turns + 1)); [ \$turns -lt 20 ] || {
            qmp $2 query-status; ps | grep qemu; tail -n 5 /var/log/xen/qemu-dm-$2*.log; exit 1; }
        usleep 500000; done"
    line=$(tick "$1" "$2") || fail "$line"
    frames=$(field "$line" disk)
    until [ "$(field "$line" disk)" -gt "$frames" ]; do
        [ $SECONDS -lt $end ] || fail "no frames come by on $1: $line"
        line=$(tick "$1" "$2" "$(field "$line" tick)") || fail "$line"
    done
    sound "$line" "$2 on $1"
}

# field LINE NAME [NTH]: the number behind a word of a tick line.
field() {
    awk -v w="$2" -v n="${3:-1}" '{
        for (i = 1; i < NF; i++) if ($i == w && !--n) { print $(i + 1); exit }
    }' <<<"$1"
}

# tick HOST NAME [AFTER [SECONDS]]: the newest tick line above AFTER.
tick() {
    local line
    line=$(on "$1" "guest-tick $2 ${3:-0} ${4:-180}" $((${4:-180} + 60))) || fail "$line"
    echo "$line"
}

# sound LINE WHO: nothing in it may be wrong.
sound() {
    local wrong
    wrong=$(awk '{ for (i = 4; i < NF; i++) if ($i == "bad" && $(i + 1)) print $(i - 2), $(i + 1) }' <<<"$1")
    [ -z "$wrong" ] || fail "$2: wrong, and how often: $(xargs <<<"$wrong"): $1"
}

# whole HOST NAME AFTER PASSES: waits for a tick above AFTER that has seen at least PASSES whole
# checks of the memory, all right; leaves it in $line.
line=
whole() {
    local end=$((SECONDS + 300)) after=$3
    while :; do
        line=$(tick "$1" "$2" "$after") || { echo "$line"; exit 1; }
        sound "$line" "$2 on $1"
        [ "$(field "$line" mem)" -lt "$4" ] || break
        [ $SECONDS -lt $end ] || fail "$2 on $1 does not get through its memory: $line"
        after=$(field "$line" tick)
    done
    echo "$2 on $1: $line"
}

# pulse HOST NAME: remembers where the guest is now, for lived_on.
pulse_tick=0 pulse_passes=0
pulse() {
    line=$(tick "$1" "$2") || { echo "$line"; exit 1; }
    sound "$line" "$2 on $1"
    pulse_tick=$(field "$line" tick) pulse_passes=$(field "$line" mem)
}

# lived_on HOST NAME: it is the same guest as at the last pulse, it runs here, and every page was
# checked twice since (the first pass may have begun before).
lived_on() { whole "$1" "$2" "$pulse_tick" $((pulse_passes + 2)); }

# guest_says HOST NAME WORDS: waits until its console had them (tick has started the console's
# reader).
guest_says() { must "$1" "await 20 /run/console/\$(xl domid $2) '$3'"; }

# only_on HOST NAME [settled]: no domain of that name, in whatever state, on the other host; and
# none half built on either. settled: log-dirty is off, too.
only_on() {
    local list='list=$(xl list) || exit 1; awk "NR > 1 && \$2 != 0" <<END
$list
END'
    local others here_says other_says log_dirty=off
    spawn "$(other_host "$1")" "$list"
    others=$spawned
    here_says=$(on "$1" "$list
        [ -z '${3:-}' ] || { id=\$(xl domid $2) && echo log-dirty \$(logdirty is \$id); }") ||
        fail "no $2 on $1: $here_says"
    other_says=$(collect "$others") || fail "xl list on $(other_host "$1"): $other_says"
    [ -z "$other_says" ] || [ "$(other_host "$1")" = "$1" ] ||
        fail "left on $(other_host "$1"): $other_says
$(on "$(other_host "$1")" 'ps -eo pid,stat,wchan:20,etimes,args 2>/dev/null || ps' | grep -E 'qemu|xmigrate')"
    [ -z "${3:-}" ] || log_dirty=$(sed -n 's/^log-dirty //p' <<<"$here_says")
    here_says=$(grep -v '^log-dirty ' <<<"$here_says")
    [ "$(grep -c . <<<"$here_says")" = 1 ] && [ "$(awk '{ print $1 }' <<<"$here_says")" = "$2" ] ||
        fail "not $2 alone on $1: $here_says"
    [ "$log_dirty" = off ] || fail "log-dirty is ${log_dirty:-?} for $2 on $1"
}

# empty HOST: it has no guest, nor anything half built.
empty() {
    must "$1" "turns=0
        until [ \$(xl list | wc -l) = 2 ]; do
            turns=\$((turns + 1)); [ \$turns -lt 60 ] || { xl list; exit 1; }; sleep 1
        done" 120
}

# settled HOST NAME: as only_on, after the clean-up of a failure had its time.
settled() {
    local end=$((SECONDS + 60))
    until (only_on "$@" settled) >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { only_on "$@" settled; return; }
        sleep 1
    done
}

# The only one, if there is one.
other_host() { [ "$1" = A ] && echo "${HOSTS[-1]}" || echo A; }

# trust_pair: the hosts know each other (and themselves) from now on, until they get new disks.
trust_pair() {
    local host key keys= trusts=
    [ ! -e "$LAB_DIR/A/trust" ] || return 0
    for host in "${HOSTS[@]}"; do
        must $host "xmigrate --identity"
        key=$(on $host "xmigrate --identity" | grep -o 'SHA256:[^ ]*') ||
            fail "$host has no fingerprint"
        keys+=$key$'\n' trusts+="xmigrate --trust $key host$host || exit;"
    done
    for host in "${HOSTS[@]}"; do must $host "$trusts"; done
    printf '%s' "$keys" >"$LAB_DIR/A/trust"
}

# listen HOST [OPTIONS [FAULT]]: a listener there, ready when this returns; its pid is in
# /tmp/listen.pid. FAULT: see faulty.
listen() {
    trust_pair
    must "$1" "rm -f /tmp/listen.out; ${3:-} setsid xmigrate --listen ${2:-} \
            >/tmp/listen.out 2>/tmp/listen.err </dev/null &
        echo \$! >/tmp/listen.pid
        await 20 /tmp/listen.out || { cat /tmp/listen.err; exit 1; }
        cat /tmp/listen.out"
}

# Few rounds, and a pause that can be had here: on a busy machine the emulated wire may be slower than
# the guest's writing.
soon="--max-rounds 8 --max-downtime 4s"

# move FROM NAME [MODE [OPTIONS]]: to the other host, where a listener stands.
move() {
    local mode=${3:---live} rounds=
    [ "$mode" = --offline ] || rounds=$soon
    must "$1" "xmigrate $mode host$(other_host "$1") $2 --lanes 4 $rounds ${4:-}" 400
}

# arrived HOST NAME: it is the guest of the last pulse, it runs here, and nothing of it elsewhere.
arrived() {
    lived_on "$@"
    only_on "$@"
}

# moves FROM NAME [MODE]: all of it: to the other host, where it goes on.
moves() {
    pulse "$1" "$2"
    move "$@"
    arrived "$(other_host "$1")" "$2"
}

# faulty IN FAULT: what a command is begun with, so that FAULT strikes in the process with the word
# IN (tests/e2e/preload/fault.c tells what there is).
faulty() {
    cp "$LAB_PROGRAMS/e2e/fault.so" "$LAB_DIR/both/" || fail "no fault.so"
    echo "LD_PRELOAD=/both/fault.so FAULT_LOG=/tmp/struck FAULT_IN=$1 FAULT='$2'"
}

# struck HOST: the fault has.
struck() { must "$1" "await 120 /tmp/struck && rm /tmp/struck" 180; }

# moving FROM NAME [OPTIONS [FAULT]]: begins a slow live move and returns in the middle of round 1;
# $sender is for collect.
sender=
moving() {
    spawn "$1" "${4:-} xmigrate --live host$(other_host "$1") $2 --lanes 4 --bandwidth 16M --max-rounds 3 \
        --max-downtime 4s --json ${3:-} >/tmp/send.json 2>/tmp/send.err
        code=\$?; cat /tmp/send.json /tmp/send.err; rm /tmp/send.json; exit \$code"
    sender=$spawned
    sender_says "$1" progress 60
}

# sender_says HOST WORD SECONDS: waits until the --json of the move from there has it.
sender_says() {
    must "$1" "await $3 /tmp/send.json '\"$2\"' || { cat /tmp/send.err; exit 1; }" $(($3 + 120))
}

# ended CODE: the sender begun by moving has this exit code.
ended() {
    local output code
    output=$(collect "$sender" 300)
    code=$?
    echo "$output"
    [ $code = "$1" ] || fail "xmigrate ended with $code and not $1: $(tail -n 1 <<<"$output")"
}

# refused CODE PATTERN HOST COMMAND: it ends with this code and one line on stderr that matches.
refused() {
    local output code
    output=$(on "$3" "{ $4; } 2>&1 >/tmp/refused.out" "${5:-90}")
    code=$?
    echo "$output"
    [ $code = "$1" ] || fail "exit $code and not $1 from: $4: $(head -n 1 <<<"$output")"
    [ "$(wc -l <<<"$output")" = 1 ] || fail "more than one line from: $4: $output"
    grep -Eqi -- "$2" <<<"$output" || fail "'$output' does not say '$2'"
}
