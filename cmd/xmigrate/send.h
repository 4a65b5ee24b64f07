/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --live and --offline: the source's supervisor. One story from the command to a guest
 * that runs, at the destination or here. It never leaves a guest suspended without saying so.
 */
#ifndef CMD_XMIGRATE_SEND_H
#define CMD_XMIGRATE_SEND_H

#include "cmd/xmigrate/ui/options.h"

/* Returns the exit code. */
int send_main(const struct options *o);

#endif
