/* SPDX-License-Identifier: MIT */
/*
 * The source's transfer: libxl's suspend with the save helper (libxl/operation.h), and the poll
 * loop between that and the destination. It relays libxl's own stream, passes the helper's events
 * on, pings, and keeps the time limits. It decides nothing about the guest: send.c does.
 *
 * Everything here belongs to one thread, the story's.
 */
#ifndef CMD_XMIGRATE_TRANSFER_H
#define CMD_XMIGRATE_TRANSFER_H

#include "base/cancel.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/operation.h"
#include "cmd/xmigrate/admin_socket.h"
#include "cmd/xmigrate/hooks.h"
#include "cmd/xmigrate/pace.h"
#include "cmd/xmigrate/turns.h"
#include "cmd/xmigrate/session/mailbox.h"
#include "cmd/xmigrate/session/messages.h"
#include "cmd/xmigrate/session/stream_end.h"
#include "cmd/xmigrate/session/stream_head.h"
#include "cmd/xmigrate/ui/events.h"
#include "cmd/xmigrate/ui/options.h"
#include "cmd/xmigrate/ui/view.h"

enum { TRANSFER_STREAM_BYTES = CONTROL_MAX_DATA_BYTES };

struct transfer {
    /* Set by the owner before transfer_start(). */
    const struct options *options;
    const struct log *log;
    struct view *view;
    const struct event_stream *events;
    const struct cancel *cancel; /* fired: stop */
    struct admin_socket *admin;  /* NULL: none */
    struct control *control;
    struct mailbox *mailbox;
    struct xl *xl; /* for the guest's cap */
    uint32_t domid;
    int lock_fd;
    struct journal *journal; /* told of log-dirty, the guest's cap and its suspend */
    struct link_job job;
    bool whole_stream; /* the guest has a device model, whose records are in libxl's stream */
    const struct hooks *hooks; /* before the suspend, if has_hooks */
    bool has_hooks;
    bool takes_turns; /* the guest is not suspended while another one from here stands still */
    int64_t start_ns; /* from the guest's suspend to its start at the destination */
    /* The engine has nothing more to send, and the guest stands still. */
    void (*all_sent)(void *arg);
    void *arg;

    /* What came of it. Points in time are 0 until they came. */
    int64_t suspending_ns;
    int64_t suspended_ns;
    int64_t ready_ns;
    struct message_ready ready;
    int64_t started_ns;
    struct total_report total;
    json_t *lanes;    /* of the total, as the helper told it; NULL until then */
    bool peer_failed; /* FAILED came: its copy is gone */
    bool peer_lost;   /* the control connection is no more */
    struct err peer_error;

    struct operation op;

    /* Its own. */
    struct stream_head head;
    size_t end_bytes;                   /* of libxl's END record */
    bool stream_ended;                  /* libxl's stream is over, and ended well */
    bool prepared;                      /* PREPARED came */
    bool given;                         /* GO was sent */
    bool hurried;                       /* of a live move: the guest stands still */
    struct hooks_beside *beside;        /* the hooks that run now */
    struct turn pause_turn;             /* TURN_INIT */
    struct pace pace;                   /* its budget was read */
    int64_t try_turn_ns, turn_limit_ns; /* when again, and until when; 0: nobody has asked */
    bool stopping;                      /* nothing more is said to the destination */
    int64_t ping_ns;                    /* when to send the next one */
    int64_t tell_suspended_ns;          /* when to tell the destination, if READY has not come */
    int64_t taken_save_ns;              /* as STARTED says */
    int64_t start_limit_ns;
};

/* Before any thread exists: the environment for libxl and the helper, and where they will meet. */
int transfer_prepare(struct transfer *t, struct err *e);

int transfer_start(struct transfer *t, struct err *e);

/* Right before GO, since its preparation may have taken long: the guest has not stood still for
 * --start-timeout, and the destination has neither failed nor left. */
int transfer_may_give(struct transfer *t, struct err *e);

/* Until READY came and our engine has ended, so that nobody resumes the guest behind our back (with
 * a device model: libxl, too). Any failure ends it. */
int transfer_until_ready(struct transfer *t, struct err *e);

/* After GO: 0 for STARTED. Else peer_failed says whether the destination gave it back; if it did
 * not, nobody knows. A signal does not end this. */
int transfer_until_started(struct transfer *t, struct err *e);

/* After STARTED: until libxl's operation is over, which was of no interest before. */
int transfer_end(struct transfer *t, struct err *e);

/* Stop libxl's operation, as operation_stop(). e holds why; where that is only that a connection
 * broke, the helper's reason or the destination's takes its place. */
bool transfer_stop(struct transfer *t, struct err *e);

/* Forget what transfer_prepare() made. */
void transfer_clear(struct transfer *t);

#endif
