/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --estimate HOST DOM: what a live migration would cost, without doing it. The link is
 * measured over the connections that a migration would use, the guest's dirty log is observed for
 * some seconds, and the scheduler is run forward over both.
 */
#ifndef CMD_XMIGRATE_ESTIMATE_H
#define CMD_XMIGRATE_ESTIMATE_H

#include "cmd/xmigrate/ui/options.h"

/* Returns the exit code. */
int estimate_main(const struct options *o);

#endif
