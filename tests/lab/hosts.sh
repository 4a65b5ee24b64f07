# SPDX-License-Identifier: MIT
# hosts.sh: boots the pair of hosts, ends it, and runs commands on it. Sourced with LAB_DIR,
# LAB_PROGRAMS, here and top set. Everything that a host does for us goes through its shared folder
# (see dom0/agent.c); nothing here listens on a port: the wire between the hosts is a unix socket.
#
# With LAB_HOSTS=A there is one host alone, whose guests move to itself. With LAB_ICOUNT=1 its time is
# virtual, too: its clock counts instructions, so what else this machine does changes no figure.
#
# LAB_DIR/image         the image            LAB_DIR/A/share  host A's own folder (/host)
# LAB_DIR/A/{pid,console}  its QEMU          LAB_DIR/both     seen by both hosts (/both)
# LAB_DIR/disk.img         /dev/lab/guest of both
# LAB_DIR/A.disk        host A's own: its journal, identity and trust outlive the power. Not in virtual
#                       time, which a real disk would disturb.

: "${BOOT_DEADLINE:=240}" # seconds; a quiet machine needs 10
read -ra HOSTS <<<"${LAB_HOSTS:-A B}"
accel=(-accel "tcg,thread=multi")
[ -z "${LAB_ICOUNT:-}" ] ||
    HOSTS=(A) accel=(-accel "tcg,thread=single" -icount "shift=2,sleep=on")

say() { echo "lab: $*" >&2; }

. "$here/release.sh"

# Of each release that a host runs.
build_image() {
    local name
    for name in "${HOSTS[@]}"; do build_image_of "$(release_of "$name")" || return 1; done
}

# Rebuilt only when something that goes into it has changed.
build_image_of() { # RELEASE
    local tree stamp image programs
    image=$LAB_DIR/$(of_release "$1" image) programs=$LAB_DIR/$(of_release "$1" programs)
    tree=$(in_release "$1" "$here/fetch") || return 1
    stamp=$(
        {
            echo "$tree ${XEN:-debian}"
            [ -z "${XEN:-}" ] || sha256sum "$XEN"
            find "$here/dom0" "$here/guest" "$here/build-image" -type f -exec sha256sum {} +
        } | sha256sum
    )
    [ "$(cat "$image/stamp" 2>/dev/null)" != "$stamp" ] || return 0
    say "building the image of Debian $1"
    mkdir -p "$programs" "$image"
    in_release "$1" "$here/build-programs" "$programs" &&
        in_release "$1" "$here/build-image" "$tree" "$programs" "$image" &&
        echo "$stamp" >"$image/stamp" && echo "$tree" >"$image/tree"
}

image_of() { echo "$LAB_DIR/$(of_release "$(release_of "$1")" image)"; } # HOST
tree_of() { cat "$(image_of "$1")/tree"; } # HOST: the packages that it was made of, unpacked

refresh_programs() {
    local name release from
    for name in "${HOSTS[@]}"; do
        release=$(release_of "$name") from=$LAB_PROGRAMS
        if [ "$release" != "$own_release" ]; then
            from=$LAB_DIR/$(of_release "$release" build)
            in_release "$release" make -C "$top" -s -j"$(nproc)" B="$from" programs || return 1
        fi
        in_release "$release" "$here/copy-programs" "$from" \
            "$LAB_DIR/both/$(of_release "$release" programs)" || return 1
    done
}

pair_runs() { # all of it; `pair_runs some`: any of it
    local name up=0
    for name in "${HOSTS[@]}"; do host_runs "$name" && up=$((up + 1)); done
    [ "${1:-}" = some ] && [ $up -gt 0 ] || [ $up = ${#HOSTS[@]} ]
}
host_runs() { local pid; pid=$(cat "$LAB_DIR/$1/pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null; }

# start_host NAME MAC_END OWN_SOCKET OTHER_SOCKET: powers a host on, with the disk that it has.
start_host() {
    local name=$1 mac=52:54:00:00:00:0$2 dir=$LAB_DIR/$1
    local xen="console=com1 com1=115200,8n1 dom0_mem=1024M,max:1024M spec-ctrl=eager-fpu bootscrub=0"
    local release image
    release=$(release_of "$1")
    image=$(image_of "$1")
    local linux="console=hvc0 loglevel=4 rdinit=/init lab.host=$name lab.programs=$(of_release "$release" programs)"
    local disk=(-drive "if=none,id=state,format=raw,cache=none,file=$dir.disk"
                -device "virtio-blk-pci,drive=state,serial=state")
    [ -z "${LAB_ICOUNT:-}" ] || disk=()
    rm -rf "$dir"/{share,bell.in,bell.out,console}
    mkdir -p "$dir"/share/{cmd,out,rc}
    mkfifo "$dir/bell.in" "$dir/bell.out"
    setsid qemu-system-x86_64 -name "lab-$name" -machine q35 "${accel[@]}" \
        -cpu max,-smap,-smep,-rdtscp,-pclmulqdq,-erms,-fsrm -m "${LAB_MEMORY:-2304}" -smp "${LAB_CPUS:-1}" \
        -display none -no-reboot -monitor none -serial "file:$dir/console" \
        -serial "pipe:$dir/bell" \
        -kernel "$image/xen" \
        -append "$xen ${LAB_XEN_OPTIONS:-}" \
        -initrd "$image/vmlinux $linux,$image/dom0.gz" \
        -virtfs "local,path=$dir/share,mount_tag=host,security_model=none" \
        -virtfs "local,path=$LAB_DIR/both,mount_tag=both,security_model=none" \
        -drive "file=$LAB_DIR/disk.img,if=virtio,format=raw,file.locking=off" \
        -nic none -device "e1000,netdev=n0,mac=$mac" \
        -netdev "dgram,id=n0,local.type=unix,local.path=$3,remote.type=unix,remote.path=$4" \
        "${disk[@]}" \
        </dev/null >"$dir/qemu.log" 2>&1 &
    echo $! >"$dir/pid"
    disown $!
}

# A disk without anything on it: with it the host is a new one, which nobody trusts.
new_disk() { # HOST
    rm -f "$LAB_DIR/$1.disk" "$LAB_DIR/A/trust"
    truncate -s 32M "$LAB_DIR/$1.disk" && mke2fs -q -F -t ext4 "$LAB_DIR/$1.disk"
}

# power_off HOST: at once; what was not synced is lost.
power_off() {
    local pid
    pid=$(cat "$LAB_DIR/$1/pid") && kill -KILL "$pid" || return 1
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
    rm -f "$LAB_DIR/$1/pid"
}

power_on() { # HOST
    local wire
    wire=$(cat "$LAB_DIR/wire")
    case $1 in
    A) start_host A 1 "$wire/a" "$wire/b" ;;
    B) start_host B 2 "$wire/b" "$wire/a" ;;
    esac
    wait_ready "$1"
}

wait_ready() {
    local name=$1 end=$((SECONDS + BOOT_DEADLINE))
    until [ -e "$LAB_DIR/$name/share/ready" ]; do
        if ! host_runs "$name" || [ $SECONDS -ge $end ]; then
            say "host $name died at boot, or is not up after $BOOT_DEADLINE s:"
            cat "$LAB_DIR/$name/qemu.log" >&2
            tail -n 20 "$LAB_DIR/$name/console" >&2
            return 1
        fi
        sleep 0.2
    done
}

boot_pair() {
    local wire name
    if host_runs A || host_runs B; then # of either kind
        say "a pair is up in $LAB_DIR already (lab down ends it)"
        return 1
    fi
    mkdir -p "$LAB_DIR/both"
    # Guests may come to run on either.
    cp "$(image_of A)"/{vmlinux,vmlinuz,guest.gz} "$LAB_DIR/both/" || return 1
    truncate -s 16M "$LAB_DIR/disk.img"
    for name in "${HOSTS[@]}"; do new_disk "$name" || return 1; done
    wire=$(mktemp -d /tmp/lab-wire.XXXXXX) || return 1 # LAB_DIR may be too long for a socket's name
    echo "$wire" >"$LAB_DIR/wire"
    start_host A 1 "$wire/a" "$wire/b"
    [ ${#HOSTS[@]} = 1 ] || start_host B 2 "$wire/b" "$wire/a"
    for name in "${HOSTS[@]}"; do wait_ready "$name" || { end_pair; return 1; }; done
}

end_pair() {
    local name pid turns
    for name in A B; do
        host_runs "$name" || continue
        pid=$(cat "$LAB_DIR/$name/pid")
        # A stale file must not kill a stranger that got the number.
        grep -qz "^lab-$name$" "/proc/$pid/cmdline" 2>/dev/null || continue
        kill "$pid" 2>/dev/null
        for ((turns = 0; turns < 50; turns++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null
        rm -f "$LAB_DIR/$name/pid"
    done
    [ ! -e "$LAB_DIR/wire" ] || rm -rf "$(cat "$LAB_DIR/wire")" "$LAB_DIR/wire"
    return 0
}

# spawn HOST COMMAND: starts it there; the id for collect is left in $spawned. (Not printed: a
# subshell for it would lose the counter.)
spawned=
spawn_count=0
# The bell is opened for both ways, because one way would wait for a host that is gone.
spawn() {
    local share=$LAB_DIR/$1/share id=$$-$((spawn_count += 1))-$RANDOM
    spawned=$1:$id
    # shellcheck disable=SC2016 # for the shell over there
    printf 'echo $$ >/run/pid-%s\n%s\n' "$id" "$2" >"$share/$id.tmp" &&
        mv "$share/$id.tmp" "$share/cmd/$id" && printf x 1<>"$LAB_DIR/$1/bell.in"
}

# collect ID [DEADLINE]: waits for it; its output, and its exit code, or 124 when the time is over
# (what is left of it has then been killed) and 125 when the host is gone.
collect() {
    local name=${1%%:*} id=${1#*:} deadline=${2:-${DEADLINE:-60}} end code
    local share=$LAB_DIR/$name/share
    end=$((SECONDS + deadline))
    until [ -e "$share/rc/$id" ]; do
        host_runs "$name" || { say "host $name is gone"; return 125; }
        if [ $SECONDS -ge $end ]; then
            say "nothing after $deadline s from host $name: $(cat "$share/cmd/$id" 2>/dev/null)"
            [ "${3:-}" = last ] ||
                on "$name" "cat /run/out-$id; kill -KILL -\$(cat /run/pid-$id)" 20 last
            return 124
        fi
        sleep 0.05
    done
    cat "$share/out/$id"
    code=$(cat "$share/rc/$id")
    rm -f "$share/out/$id" "$share/rc/$id"
    return "$code"
}

# on HOST COMMAND [DEADLINE]
on() {
    case $1 in A | B) ;; *) say "no host $1 (A or B)"; return 1 ;; esac
    spawn "$1" "$2"
    collect "$spawned" "${3:-${DEADLINE:-60}}" "${4:-}"
}
