/* SPDX-License-Identifier: MIT */
/*
 * A JSON object in the run directory that processes of several migrations change: one at a time,
 * under a lock beside it, and a reader sees all of it or the one before. Gone with a reboot.
 */
#ifndef CMD_XMIGRATE_SHARED_FILE_H
#define CMD_XMIGRATE_SHARED_FILE_H

#include "base/err.h"
#include "cmd/paths.h"

#include <jansson.h>
#include <stdbool.h>

/* An empty object where there is no such file, or one that makes no sense; NULL: *e says why. */
json_t *shared_file_read(const char *name, struct err *e);

/* change gets what is there, and changes it; false: there was nothing to change. */
int shared_file_change(
    const char *name, bool (*change)(void *arg, json_t *o), void *arg, struct err *e);

#endif
