/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --inspect: what a file of a saved guest holds, and where it is damaged. Needs neither
 * Xen nor root. Returns the exit code: 0 if it is whole, 2 if not.
 */
#ifndef CMD_XMIGRATE_INSPECT_H
#define CMD_XMIGRATE_INSPECT_H

#include "cmd/xmigrate/ui/options.h"

int inspect_main(const struct options *o, const struct log *log);

#endif
