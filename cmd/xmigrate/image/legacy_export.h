/* SPDX-License-Identifier: MIT */
/* An old file (legacy.h) in the format of today's xl save. */
#ifndef CMD_XMIGRATE_IMAGE_LEGACY_EXPORT_H
#define CMD_XMIGRATE_IMAGE_LEGACY_EXPORT_H

#include "base/cancel.h"
#include "cmd/xmigrate/image/legacy.h"

/* l: what legacy_scan() found in from_fd. To fd, a new file that can be read, too. *data_pages: how
 * many pages with contents are there: without those that a PV guest had given up at its end. */
int legacy_export(const struct legacy *l, int from_fd, const char *from, int fd,
    const struct cancel *cancel, uint64_t *data_pages, struct err *e);

#endif
