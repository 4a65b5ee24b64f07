/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --check [HOST] DOM: what a guest can do (be suspended and run on, be tracked, be
 * checkpointed and moved live, to that host) and what stands in the way, a line each. All are
 * looked at, and nothing is changed. Returns the exit code: 0 nothing is in the way, 2 something
 * is.
 */
#ifndef CMD_XMIGRATE_CHECK_H
#define CMD_XMIGRATE_CHECK_H

#include "cmd/xmigrate/ui/options.h"

int check_main(const struct options *o);

#endif
