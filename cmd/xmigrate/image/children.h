/* SPDX-License-Identifier: MIT */
/* Compact files that stand on another one, which must stay while they are there. */
#ifndef CMD_XMIGRATE_IMAGE_CHILDREN_H
#define CMD_XMIGRATE_IMAGE_CHILDREN_H

#include "base/err.h"

#include <limits.h>
#include <stdbool.h>

/* A file in that directory has that one of it as its parent: true, and its name. */
bool children_find(int dir_fd, const char *file, char child[static NAME_MAX + 1]);

/* ERR_REFUSED (-EEXIST), which speaks of --force, if a file beside path stands on it. */
int children_check(const char *path, struct err *e);

#endif
