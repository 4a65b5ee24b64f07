#!/bin/bash
# SPDX-License-Identifier: MIT
# The supervisor of a --checkpoint or --save, its helper, both, or these and the rescuer, killed with
# SIGKILL at every step and at moments between: the guest runs once (or is in the file of a --save,
# and nowhere else), log-dirty is off, and under the name is the old file or a new one, whole.
# deadline: 900
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/file.sh"
. "$E2E/file-kills.sh"
needs_stock
file_host
mkdir files
words=
have_guest() { guest a g --type pv --memory 48M --remap 300; }
is_whole() { verify_stream xl "$1"; }

have_guest
filed --checkpoint old g
strike_all "checkpoint save" "supervisor helper both all" round start round suspending suspended

# Without shadow paging a copy is made in memory, and written when the guest runs on.
"$X" stop a >/dev/null 2>&1
file_host --no-shadow
have_guest
filed --checkpoint old g --force
strike_all checkpoint "supervisor helper both all" suspended start suspending suspended round written
