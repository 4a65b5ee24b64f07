/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/early_disks.h"

/* What the configuration alone says against it, or NULL. */
static const char *obstacle_in(const libxl_device_disk *disk)
{
    if (disk->backend_domid || disk->backend_domname)
        return "another domain serves it";
    if (disk->script)
        return "a script attaches it";
    if (disk->backend != LIBXL_DISK_BACKEND_UNKNOWN && disk->backend != LIBXL_DISK_BACKEND_PHY)
        return "a process serves it";
    if (disk->format != LIBXL_DISK_FORMAT_UNKNOWN && disk->format != LIBXL_DISK_FORMAT_RAW)
        return "it is an image and not raw";
    return NULL;
}

bool disk_may_be_early(const libxl_device_disk *disk, enum disk_device device,
    enum early_disks early, const char **why)
{
    static const char *const words[] = {
        [DISK_DEVICE_WHOLE] = "it is a whole block device",
        [DISK_DEVICE_PARTITION] = "it is a partition",
        [DISK_DEVICE_LOOP] = "there is a file beneath it",
        [DISK_DEVICE_FILE] = "it is a file",
        [DISK_DEVICE_MISSING] = "it is not there",
        [DISK_DEVICE_UNKNOWN] = "sysfs does not know it",
    };
    const char *obstacle = obstacle_in(disk);

    if (early != EARLY_SAFE) {
        *why = early == EARLY_ALL ? "--early-disks all" : "--early-disks none";
        return early == EARLY_ALL;
    }
    *why = obstacle ? obstacle : words[device];
    return !obstacle && device == DISK_DEVICE_WHOLE;
}
