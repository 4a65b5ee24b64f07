/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --pair HOST: two hosts trust each other from now on. ssh, which knows that host already,
 * runs `xmigrate --trust` for our key there and `xmigrate --identity` for its own, at once; that
 * one is trusted here then.
 */
#ifndef CMD_XMIGRATE_PAIR_H
#define CMD_XMIGRATE_PAIR_H

#include "base/err.h"
#include "cmd/xmigrate/ui/options.h"

int pair_main(const struct options *o, const struct log *log);

#endif
