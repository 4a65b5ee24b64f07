/* SPDX-License-Identifier: MIT */
/*
 * Whether this host lets a guest be moved, saved or checkpointed, as far as one look each can tell;
 * nothing is changed. ERR_REFUSED says in one line what is in the way, and what to do. A move makes
 * them one after the other, --check all of them.
 */
#ifndef CMD_XMIGRATE_SUITABLE_H
#define CMD_XMIGRATE_SUITABLE_H

#include "cmd/xmigrate/libxl/calls.h"

#include <stdbool.h>

enum { SUITABLE_VERSION_BYTES = 16 };

/* It runs, and has a name that can travel. */
int suitable_state(const struct xl_domain *d, struct err *e);

/* Its path can travel in JSON, to the journal and in events. */
int suitable_file(const char *path, struct err *e);

/* *has: its writes can be tracked, which only a PV guest's may not be. */
int suitable_log_dirty(struct xl *xl, const struct xl_domain *d, bool *has, struct err *e);

/* An HVM guest's QEMU lives and runs; *version: its version; others: "". */
int suitable_device_model(
    const struct xl_domain *d, char version[static SUITABLE_VERSION_BYTES], struct err *e);

/* May its QEMU's successor be started before the state is there? If not, *why becomes a few words,
 * constant. Others than HVM guests have none. */
bool suitable_for_early_model(const struct xl_domain *d, const struct log *log, const char **why);

/* Xen takes a guest to a host of its release or a newer one, and promises nothing of an older one.
 * Unknown is not older. */
bool suitable_is_older_xen(struct xl_version there, struct xl_version here);

#endif
