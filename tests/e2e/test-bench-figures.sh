#!/bin/bash
# SPDX-License-Identifier: MIT
# What the benchmark computes and prints: medians, ratios, names, goals.
exec python3 "$E2E/bench_figures.py"
