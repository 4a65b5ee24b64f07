#!/bin/bash
# SPDX-License-Identifier: MIT
# What is built early for an HVM guest, its device model too, and all that can go wrong meanwhile.
# deadline: 480
. "$E2E/early.sh" hvm
