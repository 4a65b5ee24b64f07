#!/bin/bash
# SPDX-License-Identifier: MIT
# A PV guest of 8 GiB that rewrites its page tables moves there and back under load.
# deadline: 1200
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/large.sh"
there_and_back --type pv --remap 500 --fork 20
