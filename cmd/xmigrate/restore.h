/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --restore: a guest out of a file of ours or of xl save's. The file is looked at whole
 * before anything is built; until the guest is complete it is NAME--incoming, which is destroyed if
 * anything fails (by --recover, if we are killed). Returns the exit code: 0, 2 refused, 3 failed:
 * nothing of it is left, and the file is as it was.
 */
#ifndef CMD_XMIGRATE_RESTORE_H
#define CMD_XMIGRATE_RESTORE_H

#include "cmd/xmigrate/ui/options.h"

int restore_main(const struct options *o);

/* Of a checkpoint's guest that can go on from the file alone: its events have the checkpoint's id.
 */
int restore_revived(const struct options *o, const char *migration);

#endif
