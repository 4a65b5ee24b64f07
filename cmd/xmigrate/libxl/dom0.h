/* SPDX-License-Identifier: MIT */
/* Dom0's balloon: what dom0 has, and whether we may make it smaller for a guest. */
#ifndef CMD_XMIGRATE_LIBXL_DOM0_H
#define CMD_XMIGRATE_LIBXL_DOM0_H

#include "cmd/xmigrate/libxl/calls.h"

/* libxl lets dom0 have no less. */
enum { DOM0_LEAST_KB = 128 * 1024 };

struct dom0 {
    bool may_balloon; /* autoballoon.h */
    uint64_t current_kb, target_kb;
};

int dom0_read(struct xl *xl, struct dom0 *d, struct err *e);
/* Its balloon then shrinks, or grows, in its own time. */
int dom0_set(struct xl *xl, uint64_t target_kb, struct err *e);

#endif
