/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --export and --flatten: a compact file and its chain, written again as one file, in the
 * stock format or compact; --export also of a file of a Xen before 4.6. Needs no Xen. Returns the
 * exit code: 0, 2 refused or failed, and what had the name keeps it.
 */
#ifndef CMD_XMIGRATE_CONVERT_H
#define CMD_XMIGRATE_CONVERT_H

#include "cmd/xmigrate/ui/options.h"

int convert_main(const struct options *o, const struct log *log);

#endif
