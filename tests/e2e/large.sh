# SPDX-License-Identifier: MIT
# large.sh: what tests with guests of 8 GiB share, beside lib.sh and move.sh. At the end of a move
# both hosts hold the whole guest.

# needs_memory GIB: skip where there is less.
needs_memory() {
    local gib
    gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
    [ "$gib" -ge "$1" ] || skip "needs $1 GiB of free memory, there are $gib"
}

# there_and_back [OPTION...]: a guest of 8 GiB that writes 8000 pages a second moves live over 4
# lanes, and back over one; each time its whole memory is looked at.
there_and_back() {
    local name=large to_a to_b
    needs_memory 17
    two_hosts --mem 8448M
    listen a
    to_a=$port
    listen b
    to_b=$port
    guest a $name --memory 8G --dirty 8000 --content zero=25,text=50,random=25 "$@"
    port=$to_b
    move a $name --lanes 4
    moved a b $name
    port=$to_a
    move b $name --lanes 1
    moved b a $name
}
