/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --save and --checkpoint: a guest into a file. After --checkpoint it runs on here; after
 * --save it is destroyed, once the file is whole, on disk and under its name. Whatever fails before
 * that, the guest runs on and what had the name keeps it. Returns the exit code: 0, 2 refused, 3
 * failed and the guest runs here, 4 --save is finished but the guest could not be destroyed.
 */
#ifndef CMD_XMIGRATE_SAVE_H
#define CMD_XMIGRATE_SAVE_H

#include "cmd/xmigrate/ui/options.h"

int save_main(const struct options *o);

#endif
