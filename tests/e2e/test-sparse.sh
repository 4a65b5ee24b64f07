#!/bin/bash
# SPDX-License-Identifier: MIT
# A PVH guest of 1 TiB, of which 1 GiB is populated, within 2 GiB of real memory.
. "$E2E/lib.sh"
host a --mem 2G
guest a big --type pvh --memory 1G --address-space 1T --dirty 100000
sleep 0.5
whole a big
kib=$(awk '/^Rss(Anon|Shmem):/ { sum += $2 } END { print sum }' /proc/"$(cat h/a/pid)"/status)
[ "$kib" -lt 2097152 ] || fail "the host uses $kib KiB"
echo "the host uses $((kib / 1024)) MiB"
