/* SPDX-License-Identifier: MIT */
/*
 * The monitor: one process per domain that does what the domain's configuration says when it
 * powers off, reboots or crashes, as the process does that `xl create` leaves behind. It ends
 * when the domain is gone, is left as it is, or was suspended (somebody moves or saves it).
 *
 * It always runs as `xmigrate --monitor DOMID UUID`, started by exec, so that nothing of a
 * migration (keys, connections, threads) lives on in it. It writes to monitor-UUID.log in the run
 * directory.
 */
#ifndef CMD_XMIGRATE_LIBXL_MONITOR_H
#define CMD_XMIGRATE_LIBXL_MONITOR_H

#include "base/err.h"
#include "base/log.h"

#include <libxl.h>
#include <stdbool.h>
#include <stdint.h>

/* Become the monitor: does not return unless it fails. Descriptors are expected CLOEXEC. */
int monitor_become(uint32_t domid, const char *uuid, struct err *e);

/* Start a detached one. */
int monitor_start(uint32_t domid, const char *uuid, struct err *e);

/* What --monitor runs; returns the exit code. */
int monitor_main(const char *domid_text, const char *uuid);

/* Pure: what to do about a shutdown. */
enum monitor_step {
    MONITOR_END, /* leave it as it is */
    MONITOR_DESTROY,
    MONITOR_RESTART,
    MONITOR_RENAME_RESTART,
    MONITOR_SOFT_RESET,
};
struct monitor_plan {
    enum monitor_step step;
    bool core_dump; /* wanted before that */
};
struct monitor_plan monitor_plan(const libxl_domain_config *config, int shutdown_reason);

#endif
