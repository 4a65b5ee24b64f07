#!/bin/bash
# SPDX-License-Identifier: MIT
# The supervisor of a compact --checkpoint or --save, its helper, or all of them, killed at every step: the
# guest runs once (or is in the file of a --save), log-dirty is off, and under the name is the old file or a
# new one, whole.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
. "$E2E/file-kills.sh"
file_host --tmem
mkdir files
words="--compact --parent parent"
have_guest() { filed --restore parent --disks-as-they-are; }
is_whole() { must "$B/xmigrate" --inspect "$1" --parent parent >/dev/null; }

guest a g --type pv --memory 32M --remap 300 --tmem 4M --tmem-rate 500
filed --checkpoint parent g --compact
filed --checkpoint old g --compact
guest a h --type pv --memory 32M
filed --save plain h --compact # for an export: the stock format carries no auxiliary data
strike_all "checkpoint save" "supervisor helper all" round start round suspending suspended

# An export that is stopped or killed leaves nothing, or is done.
for signal in TERM KILL; do
    for delay in 0 0.01 0.02 0.04; do
        rm -f files/x
        launch out err "$B/xmigrate" --export files/x plain
        sleep $delay
        kill -$signal $launched
        wait $launched
        code=$?
        case $code in
        0) must "$B/xmigrate" --inspect files/x >/dev/null ;;
        2) grep -q 'stopped by a signal' err || fail "an export said: $(cat err)" ;;
        137 | 143) ;;
        *) fail "an export at $signal after $delay s ended with $code: $(cat err)" ;;
        esac
        [ $code -eq 0 ] || [ $signal = KILL ] || [ ! -e files/x ] || fail "it was stopped, and is there"
        ls -A files | grep '\.part$' && fail "an export left $(ls -A files)"
        echo "export: $signal after $delay s, ended with $code"
    done
done
