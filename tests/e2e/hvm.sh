# SPDX-License-Identifier: MIT
# hvm.sh: HVM guests and their device models, beside lib.sh and move.sh.

hvm_guest() { # HOST NAME [OPTION...]
    guest "$1" "$2" --type hvm --memory 64M --dma 500 "${@:3}"
}

dm_is() { # HOST WORDS [NAME]
    local said
    said=$("$X" dm "$1" "${3:-g}")
    [ "$said" = "$2" ] || fail "the device model on $1: $said, not $2"
}
