#!/bin/bash
# SPDX-License-Identifier: MIT
# What a person sees of a move: a bar as wide as the terminal, also when that becomes narrower, lines
# folded to it, and plain lines where the terminal is dumb, or a serial line, or its user says NO_COLOR.
. "$E2E/lib.sh"
. "$E2E/move.sh"
two_hosts
listen a
back=$port
listen b
guest a g --type pvh --memory 64M --dirty 1000

# in_terminal COLUMNS HOST PORT [OPTION...]: g moves live from that host to that port.
in_terminal() {
    xmigrate_on "$2" --live "127.0.0.1:$3" g "${@:4}"
    must python3 "$E2E/in_terminal.py" "$1" "${command[@]}" >"$T/seen"
}

unset NO_COLOR COLUMNS
export TERM=xterm LANG=C.UTF-8
unset LC_ALL LC_CTYPE
# (64 MiB, of which a quarter is zero.)
in_terminal 120,80 a "$port" --bandwidth 130M --max-rounds 2
moved a b g
grep -q █ "$T/seen" || fail "no blocks: $(cat "$T/seen")"
LC_ALL=C in_terminal 60 b "$back" --bandwidth 400M --max-rounds 1
moved b a g
grep -q '\[.*#' "$T/seen" || fail "no bar: $(cat "$T/seen")"
TERM=dumb in_terminal 80 a "$port" --max-rounds 1
moved a b g
COLUMNS=50 NO_COLOR=1 in_terminal 0 b "$back" --max-rounds 1
moved b a g
