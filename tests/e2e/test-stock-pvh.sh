#!/bin/bash
# SPDX-License-Identifier: MIT
# The stock helper saves and restores pvh guests of xensim: to a file, and moving, live and not.
. "$E2E/lib.sh"
stock_round_trip pvh
