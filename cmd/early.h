/* SPDX-License-Identifier: MIT */
/* Which disks --early-disks lets be attached at the destination while the guest still runs. */
#ifndef CMD_EARLY_H
#define CMD_EARLY_H

enum early_disks {
    EARLY_SAFE, /* those of which nothing can stay in a cache (libxl/early_disks.h) */
    EARLY_NONE,
    EARLY_ALL, /* whoever says so knows that his are */
};

#endif
