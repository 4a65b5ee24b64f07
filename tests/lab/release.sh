# SPDX-License-Identifier: MIT
# release.sh: which Debian the hosts run. XEN_RELEASE is 12, 13, or A's and B's: 12,13. Another release
# than this machine's has its image and our programs made in a root of it, as tests/package makes them,
# with what the image wants besides. Sourced by hosts.sh, with LAB_DIR, here and top set.

: "${XEN_RELEASE:=12}"
own_release=$(. /etc/os-release && echo "$VERSION_ID")

release_of() { # HOST
    case $1 in
    A) echo "${XEN_RELEASE%,*}" ;;
    *) echo "${XEN_RELEASE#*,}" ;;
    esac
}

# What belongs to a release is in a folder of its own, but for this machine's.
of_release() { # RELEASE NAME
    [ "$1" = "$own_release" ] && echo "$2" || echo "$2-$1"
}

lab_cache=${XMIGRATE_CACHE:-/var/cache/xmigrate-lab}

# In a subshell: the words of roots.sh stay there.
make_release_root() ( # RELEASE
    die() { echo "lab: $*" >&2; exit 1; }
    work=$(mktemp -d "${TMPDIR:-/tmp}/lab-root.XXXXXX") || exit 1
    trap 'rm -rf "$work"' EXIT
    cd "$top" || exit 1
    . tests/package/roots.sh
    name=$(codename "$1") root=$lab_cache/root-$1
    [ ! -e "$root.complete" ] || exit 0
    command -v debootstrap >/dev/null || die "no debootstrap is there, which Debian $1 is made with"
    archive_has "$name" || die "this machine's archive has no Debian $1"
    say "making a Debian $1"
    mkdir -p "$cache/$name/archives/partial" "$lab_cache"
    make_base "$1" && unpack_base "$root" &&
        shared=$top/debian get "$root" install build-essential ca-certificates kmod cpio \
            socat dmsetup python3-minimal libpython3-stdlib zstd qemu-system-xen &&
        mkdir -p "$work/control/debian" && cp debian/control "$work/control/debian/" &&
        shared=$work/control get "$root" build-dep /shared && touch "$root.complete"
)

# in_release RELEASE COMMAND...: with the compiler, the libraries and the archive of that release; this
# tree, LAB_DIR and the cache are where they are here.
in_release() {
    if [ "$1" = "$own_release" ]; then
        "${@:2}"
        return
    fi
    make_release_root "$1" || return 1
    # shellcheck disable=SC2016 # all of it is the inner shell's
    unshare --mount --pid --fork --kill-child --propagation private sh -ec '
        root=$1 here=$PWD
        shift
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t tmpfs tmpfs "$root/tmp"
        for dir in "$LAB_TOP" "$LAB_DIR" "$LAB_CACHE"; do
            mkdir -p "$dir" "$root$dir"
            mount --bind "$dir" "$root$dir"
        done
        exec chroot "$root" sh -c "cd \"\$0\" && exec \"\$@\"" "$here" "$@"' sh "$lab_cache/root-$1" \
        env -u CC -u MAKEFLAGS -u MAKELEVEL XEN_RELEASE="$1" LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        "${@:2}"
}
export LAB_TOP=$top LAB_DIR LAB_CACHE=$lab_cache
