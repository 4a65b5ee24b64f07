/* SPDX-License-Identifier: MIT */
/* Files of one guest that are numbered: NAME.000001, NAME.000002, ... in one directory. */
#ifndef CMD_XMIGRATE_IMAGE_NUMBERED_H
#define CMD_XMIGRATE_IMAGE_NUMBERED_H

#include "base/err.h"
#include "cmd/xmigrate/image/new_file.h"

/* The path with the number after the highest that is there. */
int numbered_next(const char *path, char next[static NEW_FILE_PATH_BYTES], struct err *e);

/* Delete the oldest beside newest, which numbered_next() named, until keep are left: only
 * checkpoints that xmigrate wrote of the same guest, and none that a file beside it stands on,
 * which is an error when all others are gone. key: of those that are encrypted, as a path;
 * NULL: none. */
int numbered_keep(const char *newest, const char *key, unsigned keep, struct err *e);

#endif
