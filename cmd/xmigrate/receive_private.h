/* SPDX-License-Identifier: MIT */
/*
 * What receive.c and handover.c share: one incoming migration, from its first connection to a guest
 * that runs here. Everything in it belongs to one thread, the story's.
 */
#ifndef CMD_XMIGRATE_RECEIVE_PRIVATE_H
#define CMD_XMIGRATE_RECEIVE_PRIVATE_H

#include "cmd/link.h"
#include "cmd/lock.h"
#include "cmd/handoff/journal.h"
#include "cmd/handoff/machine.h"
#include "cmd/handoff/names.h"
#include "cmd/xmigrate/libxl/async.h"
#include "cmd/xmigrate/receive.h"
#include "cmd/xmigrate/session/mailbox.h"
#include "cmd/xmigrate/session/messages.h"
#include "cmd/xmigrate/session/stream_head.h"
#include "crypto/tls.h"

enum {
    EARLY_MAX = LINK_MAX_LANES + 1, /* the trunk and every lane */
    INCOMING_BYTES = XL_NAME_BYTES + sizeof(HANDOFF_INCOMING),
    WHO_BYTES = 128,
};

/* A trunk or lane that came before the helper did. */
struct early {
    int fd;
    uint8_t preamble[PREAMBLE_BYTES];
};

struct receive {
    const struct listen_options *o;
    struct log log; /* below's lines with the domain's name before them */
    const struct log *below;
    char prefix[XL_NAME_BYTES + 4];
    char who[WHO_BYTES]; /* the source, for messages */
    int acceptor_sock;   /* -1: the acceptor is gone */
    struct cancel cancel;

    struct tls_context *tls; /* NULL: --insecure */
    struct tls_peer peer;
    struct control control;
    struct mailbox *box;
    int64_t ping_ns; /* when the next one is due */

    struct xl xl;
    struct message_offer offer;
    libxl_domain_config config;
    char incoming[INCOMING_BYTES];
    unsigned devices;
    struct message_accept accept;
    struct journal journal;
    enum handoff_state state; /* machine.h */

    char link_path[JOURNAL_PATH_BYTES];
    int link_listen_fd, link_sock;
    struct domain_lock lock;
    pid_t helper; /* 0: not there, or no longer */
    int64_t helper_limit_ns;
    bool helper_done;
    int64_t helper_done_ns, engine_finish_ns;
    struct early early[EARLY_MAX];
    unsigned early_count;

    struct stream_head head;
    int stream_fd;     /* our end of libxl's stream; -1 while it is not open */
    bool stream_ended; /* LIBXL_END came */
    int libxl_fd;      /* libxl's, open while its operation runs */
    struct xl_async *op;
    uint32_t domid;
    int64_t start_took_ns;    /* from GO to running */
    bool may_run;             /* libxl may still start it, which could not be prevented */
    struct err *why;          /* while it is given up, or the source was not told */
    bool heard;               /* HEARD came */
    bool aborted;             /* ABORT came: GO was not sent, and will not be */
    struct message_mark mark; /* READY's */
    int64_t start_limit_ns;   /* CLOCK_BOOTTIME: GO is good until then */
};

/* The next frame, which must be of that type. The source's ABORT is its reason. */
int receive_expect(struct receive *r, enum control_type wanted, const void **body,
    size_t *len_bytes, int64_t deadline_ns, struct err *e);
/* Until the source says HEARD, which is true, or closes: closing first could lose what we said. */
bool receive_await_heard(struct receive *r);
/* The source is told why, with REFUSE or FAILED; true: it has heard. */
bool receive_tell_failure(struct receive *r, enum control_type type, struct err *why);
/* End libxl's operation; false when it would not end. */
bool receive_abort_restore(struct receive *r, struct err *e);

/* --- handover.c: who has the guest, as cmd/handoff/machine.h decides --- */

/* READY, and until GO. */
int receive_await_go(struct receive *r, struct err *e);
/* After GO; an exit code. */
int receive_hand_over(struct receive *r, int64_t ready_took_ns);
/* The migration failed and our copy goes; an exit code. */
int receive_give_up(struct receive *r, struct err *why);

#endif
