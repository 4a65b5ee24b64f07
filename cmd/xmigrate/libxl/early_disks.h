/* SPDX-License-Identifier: MIT */
/*
 * Which disks may be attached at the destination while the guest still runs and writes at the
 * source.
 *
 * Attaching opens the disk, and opening reads: the kernel looks for partitions, udev for file
 * systems. What is read then stays in the reader's cache and is old by the time the guest comes. A
 * block device as a whole, served by blkback, is safe: blkback passes requests to the device and
 * reads no cache. A file (also beneath a loop device), a process that serves it (QEMU, tapdisk) or
 * a script, which may do anything (activate a volume, lock an image), is not: those disks wait for
 * the pause.
 *
 * It depends on the host where the disk is attached: the same path may be a device here and a file
 * there. Whoever knows better says so with --early-disks.
 */
#ifndef CMD_XMIGRATE_LIBXL_EARLY_DISKS_H
#define CMD_XMIGRATE_LIBXL_EARLY_DISKS_H

#include "base/disk_device.h"
#include "cmd/early.h"

#include <libxl.h>
#include <stdbool.h>

/* Pure. *why becomes a few words of English, constant: "it is a file". */
bool disk_may_be_early(const libxl_device_disk *disk, enum disk_device device,
    enum early_disks early, const char **why);

#endif
