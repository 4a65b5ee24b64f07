/* SPDX-License-Identifier: MIT */
/* What is told when a guest is in a file: for people, and as an event. */
#ifndef CMD_XMIGRATE_UI_FILE_VIEW_H
#define CMD_XMIGRATE_UI_FILE_VIEW_H

#include "cmd/xmigrate/ui/view.h"

struct file_summary {
    const char *name;
    const char *file;
    bool checkpoint; /* it lived on */
    int64_t whole_ns;
    int64_t downtime_ns; /* asked to suspend until it ran again; of a save, until it was written */
    int64_t hook_ns;     /* of that, what --while-suspended took */
    int64_t resume_ns;   /* and all else after the engine was through */
    uint64_t file_bytes;
    struct total_report total;
};

void format_file_summary(const struct file_summary *s, char out[static VIEW_SUMMARY_BYTES]);
/* The caller owns the reference. */
json_t *file_event_done(const struct file_summary *s);

#endif
