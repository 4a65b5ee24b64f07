#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests move there and back, eight at once: listeners and hosts do not grow.
. "$E2E/lib.sh"
[ -z "$SAN" ] || skip "a sanitizer's memory is not the program's"
export TMPDIR=$T
must python3 "$TOP/tests/faults/soak.py" --n 40
