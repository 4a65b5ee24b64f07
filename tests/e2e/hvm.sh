# SPDX-License-Identifier: MIT
# hvm.sh: HVM guests and their device models, beside lib.sh and move.sh.

# emulator VERSION HOST: what a host has as its QEMU: a program that says only what it is.
emulator() {
    printf '#!/bin/sh\necho "QEMU emulator version %s.0 (test)"\n' "$1" >"$T/qemu-$2.new"
    chmod +x "$T/qemu-$2.new"
    mv "$T/qemu-$2.new" "$T/qemu-$2"
}
# Only destinations look for it, and here b is one.
export XMIGRATE_DEVICE_MODEL=$T/qemu-b

hvm_guest() { # HOST NAME [OPTION...]
    guest "$1" "$2" --type hvm --memory 64M --dma 500 "${@:3}"
}

dm_is() { # HOST WORDS [NAME]
    local said
    said=$("$X" dm "$1" "${3:-g}")
    [ "$said" = "$2" ] || fail "the device model on $1: $said, not $2"
}
