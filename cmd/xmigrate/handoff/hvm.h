/* SPDX-License-Identifier: MIT */
/*
 * Resuming a guest. Of an HVM guest the device model (QEMU) too was stopped, and its log-dirty is
 * on.
 */
#ifndef CMD_XMIGRATE_HANDOFF_HVM_H
#define CMD_XMIGRATE_HANDOFF_HVM_H

#include "cmd/handoff/journal.h"
#include "engine/xen/xen.h"

#include <stdbool.h>

/* The device model of a guest that runs: its log-dirty is switched off if we may have switched it
 * on, and if it was paused (*was_paused) it runs on. A dead one is beyond help: that is logged, and
 * the guest runs without it. */
int hvm_continue_device_model(
    const struct log *log, const struct journal_record *left, bool *was_paused, struct err *e);

/* The device model first, and then the guest, by hypercalls alone: libxl would wait for its lock on
 * the device model, which libxl 4.17 keeps as long as its process lives if the save helper died
 * while it was asking that something; for xenstored, which may hang; and for a QEMU that is gone.
 * Of a guest without a device model it does the same two calls. Takes 30 s at most. *untold: it
 * runs, and xenstored does not know. */
int hvm_resume(struct xen *x, const struct log *log, const struct journal_record *left,
    struct err *untold, struct err *e);

#endif
