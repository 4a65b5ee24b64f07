# SPDX-License-Identifier: MIT
# lib.sh: what end-to-end tests are written with. Sourced by every test-*.sh.
set -u
X=$B/xensim
STOCK_DIR=$TOP/build/xen-utils/usr/lib/xen-4.17
STOCK=$STOCK_DIR/bin/libxl-save-helper
# Domains of several tests have the same numbers, and so would locks of drop-in helpers.
export XMIGRATE_RUN_DIR=$T/run

fail() {
    echo "$*"
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

# emulator VERSION HOST: what a host has as its QEMU, whatever this machine has: a program that says
# only what it is.
emulator() {
    printf '#!/bin/sh\necho "QEMU emulator version %s.0 (test)"\n' "$1" >"$T/qemu-$2.new"
    chmod +x "$T/qemu-$2.new"
    mv "$T/qemu-$2.new" "$T/qemu-$2"
}
# Only destinations look for it, and mostly b is one.
export XMIGRATE_DEVICE_MODEL=$T/qemu-b
emulator 7.2 b

# must COMMAND...: its failure fails the test.
must() {
    "$@" || fail "failed ($?): $*"
}

# must_say WORDS COMMAND...: it has to fail, in time, with one line that holds the words.
must_say() {
    local words=$1 said code
    shift
    said=$(timeout 20 "$@" 2>&1)
    code=$?
    [ $code -ne 0 ] || fail "succeeded and should not: $*"
    [ $code -ne 124 ] || fail "did not end: $*"
    [ "$(wc -l <<<"$said")" -eq 1 ] || fail "said more than one line: $*: $said"
    case $said in *"$words"*) ;; *) fail "said '$said', not '$words': $*" ;; esac
}

needs_stock() {
    [ -x "$STOCK" ] || skip "the stock save helper is not there: make stock-helper"
}

# host NAME [OPTION...]: 1 GiB unless the options say otherwise.
host() {
    local name=$1
    shift
    case " $* " in *" --mem "*) ;; *) set -- --mem 1G "$@" ;; esac
    must "$X" host "$name" "$@"
}

# guest HOST NAME [OPTION...]: 128 MiB and 2 vCPUs that write 4000 pages a second, unless the
# options say otherwise (the last one counts). With a sanitizer no guest is larger than that.
guest() {
    local host=$1 name=$2 option before= options=()
    shift 2
    for option; do
        [ "$before" != --memory ] || option=$(capped "$option")
        options+=("$option")
        before=$option
    done
    must "$X" create "$host" --memory 128M --vcpus 2 --dirty 4000 --name "$name" "${options[@]}" \
        >/dev/null
}

# capped SIZE: of a guest, in M or G.
capped() {
    case ${SAN:+$1} in
    *G) echo 128M ;;
    *M) [ "${1%M}" -le 128 ] && echo "$1" || echo 128M ;;
    *) echo "$1" ;;
    esac
}

# whole HOST DOMAIN: the guest's memory is what it wrote.
whole() {
    must "$X" verify "$1" "$2"
}

# state_is HOST DOMAIN STATE
state_is() {
    local state
    state=$("$X" list "$1" | awk -v d="$2" '$2 == d { print $7 }')
    [ "$state" = "$3" ] || fail "domain $2 on $1 is '$state', not $3"
}

logdirty_is() {
    local mode
    mode=$("$X" list "$1" | awk -v d="$2" '$2 == d { print $8 }')
    [ "$mode" = "$3" ] || fail "log-dirty of domain $2 on $1 is '$mode', not $3"
}

# stock_move FROM DOMAIN TO [OPTION...]: with the stock helper at both ends.
stock_move() {
    local from=$1 domain=$2 to=$3
    shift 3
    must "$X" migrate "$from" "$domain" "$to" --helper "$STOCK" "$@" >/dev/null
}

# verify_stream FORMAT FILE: the stock checker accepts it.
verify_stream() {
    PYTHONPATH=$STOCK_DIR/lib/python must python3 "$E2E/verify_stream.py" \
        "$STOCK_DIR/bin/verify-stream-v2" -f "$1" -i "$2"
}

# stock_round_trip TYPE: such a guest saved to a file and restored, then moved live and not.
stock_round_trip() {
    needs_stock
    host a
    host b --fragment 30
    guest a g --type "$1"
    sleep 0.3
    must "$X" save a g image --helper "$STOCK"
    verify_stream libxc image
    must "$X" restore b image --helper "$STOCK"
    rm image
    sleep 0.2
    whole b g
    stock_move b g a --live
    whole a g
    stock_move a g b
    sleep 0.2
    whole b g
    state_is b g running
    logdirty_is b g off
}

# ends PID SECONDS: it does, within that time.
ends() {
    for _ in $(seq $(($2 * 10))); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

# launch OUT ERR COMMAND...: in the background; $launched is its pid. What an earlier one said is gone
# before this one starts, so that it is not taken for this one's.
launch() {
    local out=$1 err=$2
    shift 2
    : >"$out" 2>"$err"
    "$@" >"$out" 2>"$err" &
    launched=$!
    echo $launched >>"$T/pids"
}

# has_said PID WORDS FILE: it has, or it has ended and will not.
has_said() {
    grep -qs -e "$2" "$3" || ! kill -0 "$1" 2>/dev/null
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "did not come true: $*"
        sleep 0.1
    done
}
