/* SPDX-License-Identifier: MIT */
/* What a new file would take the place of: the guest in it may be nowhere else. */
#ifndef CMD_XMIGRATE_IMAGE_REPLACED_H
#define CMD_XMIGRATE_IMAGE_REPLACED_H

#include "base/err.h"

/* 0 if nothing has that path, or an earlier file of this guest: of its UUID, or of its name,
 * because one that is created anew may have another UUID each time; and no file beside it stands
 * on it. Else ERR_REFUSED (-EEXIST),
 * which speaks of --force. key: as for any_file_read_front(). */
int replaced_check(
    const char *path, const char *uuid, const char *name, const char *key, struct err *e);

#endif
