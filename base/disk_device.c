/* SPDX-License-Identifier: MIT */
#include "base/disk_device.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Of devices built on devices: encryption on a volume on a RAID on disks is four. */
enum { MAX_LAYERS = 8 };

static bool has(const char *device, const char *attribute)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof(path), "%s/%s", device, attribute);

    return n > 0 && (size_t)n < sizeof(path) && !access(path, F_OK);
}

/* device: its directory in sysfs. What lies deeper than MAX_LAYERS counts as a loop device. */
static bool stands_on_loop(const char *device, unsigned layers)
{
    char path[PATH_MAX];
    bool found = layers >= MAX_LAYERS || has(device, "loop");
    DIR *slaves;
    int n = snprintf(path, sizeof(path), "%s/slaves", device);

    if (found || n < 0 || (size_t)n >= sizeof(path) || !(slaves = opendir(path)))
        return found;
    for (const struct dirent *d; !found && (d = readdir(slaves));) {
        if (d->d_name[0] == '.')
            continue;
        n = snprintf(path, sizeof(path), "%s/slaves/%s", device, d->d_name);
        /* A loop device's partition stands in the loop device's directory. */
        found = n < 0 || (size_t)n >= sizeof(path) || has(path, "../loop") ||
                stands_on_loop(path, layers + 1);
    }
    closedir(slaves);
    return found;
}

enum disk_device disk_device_numbered(unsigned major_number, unsigned minor_number)
{
    char device[64];

    snprintf(device, sizeof(device), "/sys/dev/block/%u:%u", major_number, minor_number);
    if (!has(device, "dev"))
        return DISK_DEVICE_UNKNOWN;
    if (has(device, "../loop") || stands_on_loop(device, 0))
        return DISK_DEVICE_LOOP;
    return has(device, "partition") ? DISK_DEVICE_PARTITION : DISK_DEVICE_WHOLE;
}

enum disk_device disk_device_at(const char *path)
{
    struct stat st;

    if (!path || stat(path, &st))
        return DISK_DEVICE_MISSING;
    if (!S_ISBLK(st.st_mode))
        return DISK_DEVICE_FILE;
    return disk_device_numbered(major(st.st_rdev), minor(st.st_rdev));
}
