/* SPDX-License-Identifier: MIT */
/*
 * What a disk of a guest is on this host, as sysfs tells: nothing is opened, because opening a
 * block device makes the kernel read it.
 */
#ifndef BASE_DISK_DEVICE_H
#define BASE_DISK_DEVICE_H

enum disk_device {
    DISK_DEVICE_WHOLE, /* a block device with nothing but block devices beneath it */
    DISK_DEVICE_PARTITION,
    DISK_DEVICE_LOOP, /* a loop device, or one built on one: a file is beneath it */
    DISK_DEVICE_FILE, /* anything that is no block device */
    DISK_DEVICE_MISSING,
    DISK_DEVICE_UNKNOWN, /* a block device that sysfs does not know */
};

/* path may be NULL. */
enum disk_device disk_device_at(const char *path);

/* By its number: never a file. */
enum disk_device disk_device_numbered(unsigned major_number, unsigned minor_number);

#endif
