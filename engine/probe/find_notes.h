/* SPDX-License-Identifier: MIT */
/*
 * What a guest's kernel says of itself: from the file that it was started from, if that is not
 * packed; else from the pages of the guest, where its image lies; else from the file, unpacked,
 * which takes seconds. Nothing of the guest is changed, and it runs meanwhile. What
 * is not found is no failure: notes are hints.
 */
#ifndef ENGINE_PROBE_FIND_NOTES_H
#define ENGINE_PROBE_FIND_NOTES_H

#include "base/cancel.h"
#include "base/log.h"
#include "transport/kernel_notes.h"

struct find_notes_params {
    uint32_t domid;
    const char *kernel; /* the configured kernel; NULL: none is */
    const struct log *log;
    const struct cancel *cancel; /* fired: the search ends */
};

/* origin NOTES_NONE: none were found. */
void find_notes(const struct find_notes_params *p, struct kernel_notes *n);

#endif
