/* SPDX-License-Identifier: MIT */
/*
 * A guest's way into a file: libxl's suspend with the save helper (libxl/operation.h), whose stream
 * is the file itself, and the poll loop around it. transfer.h without another host. It passes the
 * helper's events on and keeps the time limits; what becomes of guest and file is save.c's.
 *
 * Everything here belongs to one thread, the story's.
 */
#ifndef CMD_XMIGRATE_FILING_H
#define CMD_XMIGRATE_FILING_H

#include "base/cancel.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/compact_save.h"
#include "cmd/xmigrate/libxl/operation.h"
#include "cmd/xmigrate/ui/events.h"
#include "cmd/xmigrate/ui/view.h"

struct filing {
    /* Set by the owner before filing_start(). */
    const struct log *log;
    struct view *view;
    const struct event_stream *events;
    const struct cancel *cancel; /* fired: stop */
    struct xl *xl;               /* for the guest's cap */
    struct journal *journal;     /* told of log-dirty, the guest's cap and its suspend */
    struct link_job job;
    const struct compact_save *compact; /* NULL: the stream is the file */
    int lock_fd;
    int64_t suspend_ns; /* how long the guest may take to suspend */
    int64_t silent_ns;  /* a helper that says nothing for so long hangs; and so does the file when
                         * the suspended guest is not written on for so long */
    int64_t index_ns;   /* so much longer may nothing be heard when the helper is through: it
                         * writes a compact file's index */
    int64_t end_ns;     /* what is left then may stand still for so long; 0: as long as disks may */
    bool live;

    /* What came of it. Points in time are 0 until they came. */
    int64_t suspending_ns;
    int64_t suspended_ns;
    int64_t through_ns; /* nothing more is read from the guest */
    struct total_report total;

    struct operation op;

    /* Its own. */
    bool stopping;
    int64_t progress_ns; /* the helper's last event, or its end */
};

/* Before any thread exists, as operation_prepare(). */
int filing_prepare(struct filing *f, struct err *e);

/* From where fd stands, which stays the owner's and open until the operation is over. */
int filing_start(struct filing *f, uint32_t domid, int fd, struct err *e);

/* Until the guest may run on: all that the file needs of it is there, and log-dirty is off. Its
 * device model has saved its state when it was suspended, into a file that libxl reads later. */
int filing_until_through(struct filing *f, struct err *e);

/* After that: until libxl has written the last of it. A signal ends this, too. */
int filing_until_over(struct filing *f, struct err *e);

/* As operation_stop(). e holds why. */
bool filing_stop(struct filing *f, const struct err *why);

void filing_clear(struct filing *f);

#endif
