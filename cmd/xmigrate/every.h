/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --checkpoint FILE DOM --every T [--keep N]: a checkpoint in each slot, in a process of
 * its own, to FILE.000001, FILE.000002 and so on. A slot that is due while one is made is skipped
 * and counted. Beyond N, the oldest are deleted, only files that xmigrate wrote for the same guest.
 * Ends at a signal, when the first one does not succeed, or when the guest is gone: a later one
 * that fails or is refused leaves its slot empty. Returns the exit code.
 */
#ifndef CMD_XMIGRATE_EVERY_H
#define CMD_XMIGRATE_EVERY_H

#include "cmd/xmigrate/ui/options.h"

int every_main(const struct options *o);

#endif
