# SPDX-License-Identifier: MIT
# link.sh: a long link between the hosts a and b, beside lib.sh and move.sh. They get network
# namespaces of their own; nothing outside of these is touched.
FAR=10.99.0.2 # b's address; a program on a reaches it over the link

# long_link RATE_MBIT RTT_MS LOSS_PERCENT: from here on a and b are so far apart.
long_link() {
    [ "$(id -u)" -eq 0 ] && [ -e /dev/net/tun ] || skip "no network namespaces without root and TUN"
    launch "$T/link.out" "$T/link.err" "$B/link/emulate" "$@" "$T/link.log"
    wait_for 20 has_said "$launched" proc "$T/link.out"
    read -r network[a] network[b] <"$T/link.out" || fail "no link: $(cat "$T/link.err")"
}

# rate_of MIB COMMAND...: what it sends from a to b, which is so much, arrives with so many Mbit/s, in
# $rate; the first and the last hundredth, with all that goes before and after them, are left out.
rate_of() {
    local begin
    begin=$(tail -n 1 "$T/link.log" | cut -d' ' -f2)
    must "${@:2}"
    rate=$(awk -v begin="${begin:-0}" -v all="$(($1 << 20))" '
        { done = $2 - begin }
        done >= all * 0.01 && !from { from = $1; first = done }
        done >= all * 0.99 && !to { to = $1; last = done }
        END { if (to > from) printf "%.1f", (last - first) * 8000 / (to - from) }' "$T/link.log")
    [ -n "$rate" ] || fail "nothing came over the link: $*"
}
