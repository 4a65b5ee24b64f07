/* SPDX-License-Identifier: MIT */
/*
 * --while-suspended CMD: what an administrator wants done while the guest stands still, such as a
 * snapshot of its disks. It is run by sh, in a process group of its own, and told in its
 * environment:
 *
 *   XMIGRATE_DOMAIN, XMIGRATE_DOMID, XMIGRATE_UUID    the guest
 *   XMIGRATE_FILE                                     where its memory will be
 *   XMIGRATE_DISKS                                    VDEV=TARGET, a line for each
 *   XMIGRATE_WRITABLE_DISKS                           of these, those that it may write to
 *
 * What our libxl operation has in the environment is left out. Its output goes to our standard
 * error.
 */
#ifndef CMD_XMIGRATE_HOOK_H
#define CMD_XMIGRATE_HOOK_H

#include "base/cancel.h"
#include "base/err.h"

#include <stdint.h>

struct hook {
    const char *command;
    const char *domain, *uuid, *file;
    uint32_t domid;
    const char *config; /* libxl's JSON */
    int64_t limit_ns;
};

/* Until it has ended well. If it has not by then, or cancel fires, it is killed with all that it
 * started, and waited for, but not for long. */
int hook_run(const struct hook *h, const struct cancel *cancel, struct err *e);

#endif
