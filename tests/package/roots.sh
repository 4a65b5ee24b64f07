# SPDX-License-Identifier: MIT
# roots.sh: root directories with a Debian release, made once and kept outside the clone
# (XMIGRATE_CACHE). Sourced by check; die and $work are its own.

cache=${XMIGRATE_CACHE:-/var/cache/xmigrate-package}

codename() {
    case $1 in
    12) echo bookworm ;;
    13) echo trixie ;;
    *) die "no name for Debian $1 is known here" ;;
    esac
}

retry() {
    local try
    for try in 1 2 3 4; do
        timeout 900 "$@" && return 0
        sleep $((try * 2))
    done
    return 1
}

# Where this machine's own packages come from.
mirror() {
    local here
    here=$(. /etc/os-release && echo "$VERSION_CODENAME")
    apt-get indextargets 'Created-By: Packages' --format '$(REPO_URI) $(CODENAME)' |
        awk -v here="$here" '$2 == here { print $1; exit }'
}

# Whether that archive has the release at all: mirrors of one release do exist.
archive_has() {
    local from
    from=$(mirror)
    [ -n "$from" ] && retry /usr/lib/apt/apt-helper download-file "${from%/}/dists/$1/Release" \
        "$work/release-$1" >/dev/null 2>&1
}

# in_root ROOT COMMAND...: as root of that system, with processes and mounts that end with it. With
# $shared that directory is /shared in there.
in_root() {
    # shellcheck disable=SC2016 # all of it is the inner shell's
    unshare --mount --pid --fork --kill-child --propagation private sh -ec '
        root=$1 shared=$2 archives=$3
        shift 3
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t tmpfs tmpfs "$root/tmp"
        mount --bind "$archives" "$root/var/cache/apt/archives"
        if [ -n "$shared" ]; then mkdir -p "$root/shared"; mount --bind "$shared" "$root/shared"; fi
        exec chroot "$root" "$@"' sh "$1" "${shared:-}" "$cache/$name/archives" \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
        DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} "${@:2}"
}

# get ROOT APT-GET-WORDS...: with lists that are renewed when they do not serve any more.
get() {
    in_root "$1" apt-get -y -qq -o Dpkg::Use-Pty=0 -o APT::Keep-Downloaded-Packages=1 \
        --no-install-recommends "${@:2}" && return 0
    in_root "$1" apt-get update -qq &&
        retry in_root "$1" apt-get -y -qq -o Dpkg::Use-Pty=0 -o APT::Keep-Downloaded-Packages=1 \
            --no-install-recommends "${@:2}"
}

# The release as debootstrap makes it, in $cache/$name/base.tar.zst.
make_base() {
    local from root=$cache/$name/base.new
    [ ! -e "$cache/$name/base.tar.zst" ] || return 0
    from=$(mirror)
    [ -n "$from" ] || die "apt knows no archive of this release"
    echo "making a Debian $1 ($name)" >&2
    rm -rf --one-file-system "$root"
    mkdir -p "$cache/$name/archives/partial" "$cache/$name/bootstrap"
    retry debootstrap --variant=minbase --cache-dir="$cache/$name/bootstrap" "$name" "$root" "$from" \
        >"$work/debootstrap-$name" 2>&1 || { tail "$work/debootstrap-$name" >&2; return 1; }
    cp /etc/resolv.conf "$root/etc/"
    # Nothing is started in there.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    tar -C "$root" --one-file-system -cf - . | zstd -q -3 -T0 -o "$cache/$name/base.new.zst" -f || return 1
    mv "$cache/$name/base.new.zst" "$cache/$name/base.tar.zst"
    rm -rf --one-file-system "$root"
}

unpack_base() {
    rm -rf --one-file-system "$1"
    mkdir -p "$1"
    zstd -dqc "$cache/$name/base.tar.zst" | tar -C "$1" -xf -
}

# builder_of: the root with all that the package wants for its build.
builder_of() {
    echo "$cache/$name/build-$(sed -n '/^Build-Depends/,/^[A-Z]/p' debian/control |
        sha256sum | cut -c1-12)"
}

# It, with what looks at the package then. Packages are those of $work/control.
make_builder() {
    local builder
    builder=$(builder_of)
    [ ! -e "$builder.complete" ] || return 0
    unpack_base "$builder"
    shared=$work/control get "$builder" install build-essential lintian &&
        shared=$work/control get "$builder" build-dep /shared && touch "$builder.complete"
}
