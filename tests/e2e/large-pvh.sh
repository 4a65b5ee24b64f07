#!/bin/bash
# SPDX-License-Identifier: MIT
# A PVH guest of 8 GiB, which reaches over the hole below 4 GiB, moves there and back under load.
# deadline: 1200
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/large.sh"
there_and_back --type pvh --vcpus 4
