# SPDX-License-Identifier: MIT
# sandbox.sh: systemd itself, as process 1 of namespaces of its own in a root with the package, and a guest
# that arrives through its socket at a listener in the unit's sandbox. Sourced by check, with $work.

make_cgroup() {
    cgroup=/sys/fs/cgroup
    [ ! -d "$cgroup/unified" ] || cgroup+=/unified
    cgroup+=/xmigrate-package-$$
    mkdir -p "$cgroup" && [ -e "$cgroup/cgroup.procs" ]
}

# Nothing, where boot can do its work.
why_no_boot() {
    local cgroup
    make_cgroup 2>/dev/null || echo "no cgroup2 in which groups can be made"
    rmdir "$cgroup" 2>/dev/null
    modprobe -q overlay 2>/dev/null
    grep -qw overlay /proc/filesystems || echo "no overlayfs"
}

# boot ROOT SHARED: systemd on a copy of ROOT that goes with it, with SHARED at /shared. $booted is its
# process, $booting the one to end; nothing of it outlives either.
booted= booting= cgroup=
boot() {
    local turns
    mkdir -p "$work/booted"
    make_cgroup
    # shellcheck disable=SC2016 # all of it is the inner shell's
    sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$cgroup" \
        unshare --mount --pid --cgroup --uts --ipc --net --fork --kill-child --propagation private sh -ec '
        root=$1 shared=$2 work=$3
        ip link set lo up
        mount -t tmpfs tmpfs "$work"
        mkdir "$work/root" "$work/upper" "$work/work"
        mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
        cd "$work/root"
        mkdir -p shared old
        mount --bind "$shared" shared
        mount -t proc proc proc
        mount -t sysfs -o ro sysfs sys
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        mount -t tmpfs -o mode=755 tmpfs dev
        mkdir dev/shm
        mount -t tmpfs tmpfs dev/shm
        for node in null zero full random urandom tty; do
            touch "dev/$node"
            mount --bind "/dev/$node" "dev/$node"
        done
        ln -s /proc/self/fd dev/fd
        mount -t tmpfs -o mode=755 tmpfs run
        mount -t tmpfs tmpfs tmp
        pivot_root . old
        exec chroot . sh -c "umount -l /old; exec env -i container=xmigrate-package \
            /lib/systemd/systemd --system --unit=basic.target"' sh "$1" "$2" "$work/booted" \
        </dev/null >/dev/null &
    booting=$!
    for ((turns = 0; turns < 150; turns++)); do
        booted=$(cat "/proc/$booting/task/$booting/children" 2>/dev/null)
        booted=${booted%% *}
        case $([ -z "$booted" ] || in_booted timeout 5 systemctl is-system-running 2>/dev/null) in
        running | degraded) return 0 ;;
        esac
        kill -0 "$booting" || return 1
        sleep 0.2
    done
    return 1
}

in_booted() { # COMMAND...
    nsenter -t "$booted" -m -p -C -u -i -n -r -w env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}

halt() {
    [ -n "$booting" ] || return 0
    # Of process 1, whose end is that of all.
    kill -KILL "${booted:-$booting}" 2>/dev/null
    wait "$booting" 2>/dev/null
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
    booting= booted=
}

# Two hosts of the simulator; basalt's listener is the unit's, and only its Xen is the simulator's.
sandboxed_move='
export XENSIM_DIR=/run/sim
on() {
    host=$1
    shift
    XMIGRATE_RUN_DIR=/run/xmigrate-$host /shared/demo/xensim run "$host" -- "$@"
}
from="xmigrate --config-dir /tmp/amber"
mkdir -m 700 /run/sim /run/xmigrate-amber
for host in amber basalt; do /shared/demo/xensim host $host --mem 512M; done
for unit in xmigrate.socket xmigrate.service; do
    mkdir -p /run/systemd/system/$unit.d
    printf "[Unit]\nConditionPathExists=\n" >/run/systemd/system/$unit.d/simulated.conf
done
cat >>/run/systemd/system/xmigrate.service.d/simulated.conf <<END
[Service]
Environment=XENSIM_DIR=/run/sim
ExecStart=
ExecStart=/shared/demo/xensim run basalt -- /usr/sbin/xmigrate --listen
END
amber=$(on amber $from --identity) basalt=$(on basalt xmigrate --identity)
on amber $from --trust "${basalt##* }" basalt
on basalt xmigrate --trust "${amber##* }" amber
systemctl daemon-reload
systemctl start xmigrate.socket
guest=$(/shared/demo/xensim create amber --type pvh --memory 64M --dirty 500)
on amber $from --live 127.0.0.1 "$guest"

pid=$(systemctl show --property MainPID --value xmigrate.service)
grep -E "^(CapBnd|Seccomp):" /proc/$pid/status
bounding=$(sed -n "s/^CapBnd:.//p" /proc/$pid/status)
[ $((0x$bounding >> 16 & 1)) = 0 ] # CAP_SYS_MODULE
[ $((0x$bounding >> 21 & 1)) = 1 ] # CAP_SYS_ADMIN
grep -qx "Seccomp:.2" /proc/$pid/status
grep -E "^[^ ]+ /usr [^ ]+ ro," /proc/$pid/mounts

systemctl restart xmigrate.service
[ "$(systemctl show --property MainPID --value xmigrate.service)" != $pid ]
/shared/demo/xensim list basalt
/shared/demo/xensim verify basalt "$(/shared/demo/xensim list basalt | awk "NR > 1 { print \$1; exit }")"
'

runs_in_its_sandbox() {
    local code
    boot "$1" "$2" && in_booted timeout 120 sh -ec "$sandboxed_move"
    code=$?
    [ $code = 0 ] || [ -z "$booted" ] || in_booted sh -c 'systemctl --no-pager -l status xmigrate.service
        journalctl --no-pager -n 40 -u xmigrate.service'
    halt
    return $code
}
