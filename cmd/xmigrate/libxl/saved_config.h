/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a saved guest's configuration when it is built again from a file: which disks it
 * gets, and whether it is the same guest. Reads and changes libxl's structure alone.
 */
#ifndef CMD_XMIGRATE_LIBXL_SAVED_CONFIG_H
#define CMD_XMIGRATE_LIBXL_SAVED_CONFIG_H

#include "base/err.h"

#include <libxl.h>
#include <stdbool.h>

/* "VDEV=TARGET": that disk is TARGET, a path, from now on. ERR_REFUSED if it has no such disk. */
int saved_config_give_disk(libxl_domain_config *config, const char *text, struct err *e);

/* ERR_REFUSED if it has a disk that it may write to and that none of given (count of them, as
 * above) replaces: after a checkpoint the guest wrote on, and its memory is older than such a disk;
 * and what a clone writes to is the guest's own. */
int saved_config_check_disks(const libxl_domain_config *config, const char *const given[],
    unsigned count, bool clone, struct err *e);

/* Another guest from now on: UUID, the MACs of its interfaces, its generation id. */
int saved_config_clone(libxl_domain_config *config, struct err *e);

#endif
