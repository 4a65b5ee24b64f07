/* SPDX-License-Identifier: MIT */
/*
 * Bringing an HVM guest back: its device model (QEMU) too was stopped, and its log-dirty is on. For
 * guests without one there is nothing to do here but libxl's resume.
 */
#ifndef CMD_XMIGRATE_HANDOFF_HVM_H
#define CMD_XMIGRATE_HANDOFF_HVM_H

#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/libxl/calls.h"

#include <stdbool.h>

/* The device model of a guest that runs: its log-dirty is switched off if we may have switched it
 * on, and if it was paused (*was_paused) it runs on. A dead one is beyond help: that is logged, and
 * the guest runs without it. */
int hvm_continue_device_model(
    const struct log *log, const struct journal_record *left, bool *was_paused, struct err *e);

/* The device model first, and then the guest: past libxl, which would wait for its lock on the
 * device model. If the save helper died while libxl was asking that something, libxl 4.17 keeps the
 * lock as long as its process lives. Takes 30 s at most. Guests without a device model: through
 * libxl. */
int hvm_resume(struct xl *xl, const struct journal_record *left, struct err *e);

#endif
