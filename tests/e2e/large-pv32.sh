#!/bin/bash
# SPDX-License-Identifier: MIT
# A 32-bit PAE guest of 8 GiB, most of it high memory, moves there and back under load.
# deadline: 1200
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/large.sh"
there_and_back --type pv32 --remap 500 --p2m tree
