#!/bin/bash
# SPDX-License-Identifier: MIT
# A PVH guest whose last frames are above 2^32 moves: 64 MiB of memory in an address space of 17 TiB. Each
# frame is asked for once, so many lanes ask at once.
# deadline: 3600
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/large.sh"
needs_memory 9
two_hosts --mem 512M
listen b
guest a g --type pvh --memory 64M --address-space 17T --dirty 1000
move a g --lanes 24 --max-time 60m --silent-timeout 10m
moved a b g
