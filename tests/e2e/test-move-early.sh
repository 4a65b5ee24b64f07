#!/bin/bash
# SPDX-License-Identifier: MIT
# What is built early for a PVH guest, and all that can go wrong meanwhile.
# deadline: 420
. "$E2E/early.sh" pvh
