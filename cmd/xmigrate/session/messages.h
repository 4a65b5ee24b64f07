/* SPDX-License-Identifier: MIT */
/*
 * What the two supervisors say on the control connection: the JSON bodies of its frames
 * (docs/wire.md). A body is checked whole, with limits, before anything of it is used; fields that
 * are not known are skipped.
 *
 *   source                destination
 *   HELLO        →   ←    HELLO
 *   OFFER        →   ←    WAIT (perhaps), then ACCEPT or REFUSE
 *   LIBXL_DATA   →
 *                    ←    PREPARED (if devices are connected early)
 *   SUSPENDED    →        (of a live move)
 *   LIBXL_END    →   ←    READY (neither waits for the other; LIBXL_END with a device model only)
 *   GO           →   ←    STARTED or FAILED
 *   HEARD        →
 *
 * or, when it is over and the source does not know how:
 *   ASK          →   ←    ANSWER
 *   HEARD        →
 *   ABORT (until GO) →  ← FAILED (at any time), PING both ways
 */
#ifndef CMD_XMIGRATE_SESSION_MESSAGES_H
#define CMD_XMIGRATE_SESSION_MESSAGES_H

#include "cmd/handoff/journal.h"
#include "cmd/link.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "transport/control.h"

/* How often each side says PING. */
enum { MESSAGE_PING_S = 1 };

/* The destination lets nobody wait longer (WAIT). */
#define MESSAGE_WAIT_LIMIT_NS (3600 * NS_PER_S)

/* A finish of more than a day makes no sense. */
#define MESSAGE_MAX_FINISH_NS (24 * 3600 * NS_PER_S)

/* A guest's CPU features: hex digits, eight for each of a number of words. */
enum { MESSAGE_CPU_BYTES = 8 * 32 + 1 };
/* What a host lacks: so many lines of text at most, and bytes in all. */
enum { MESSAGE_MAX_LACKS = 16, MESSAGE_LACKS_BYTES = 4096 };

struct message_hello {
    unsigned major, minor;
    unsigned max_lanes;
};

struct message_offer {
    char name[XL_NAME_BYTES];
    char uuid[XL_UUID_TEXT_BYTES];
    char type[8]; /* "pv", "pvh", "hvm" */
    bool live;
    bool measure;   /* only what a migration would meet */
    bool early;     /* devices may be connected while the guest runs, as far as we know */
    bool paused;    /* it is not to be started there */
    uint32_t domid; /* that it is to have if it is free there; 0: any */
    unsigned lanes; /* wanted */
    char cpu[MESSAGE_CPU_BYTES]; /* of one that is only measured: its features; "": not known */
    char device_model[16];       /* an HVM guest's: its version, "7.2"; "" otherwise */
    char *config;                /* libxl's JSON; malloc'ed when parsed: message_offer_clear() */
};

struct message_accept {
    uint8_t session[LINK_SESSION_BYTES];
    uint8_t key[LINK_KEY_BYTES];
    unsigned lanes;       /* at most what was wanted */
    bool early;           /* they will be: PREPARE is welcome */
    struct likely finish; /* what it thinks to need from the last byte until the guest runs */
    char journal[JOURNAL_ID_BYTES];  /* as READY will have it */
    struct xl_version xen;           /* the destination's */
    char lacks[MESSAGE_LACKS_BYTES]; /* to one that is only measured: what it would miss, lines */
};

/* Before ACCEPT: so many come first, of whom so many at once may. */
struct message_wait {
    unsigned ahead, at_once;
};

/* Which READY a GO answers: of which journal, since which boot, when by that host's clock. */
struct message_mark {
    char journal[JOURNAL_ID_BYTES];
    char boot[JOURNAL_BOOT_BYTES];
    int64_t clock_ns; /* CLOCK_BOOTTIME */
};

struct message_ready {
    uint32_t domid;
    int64_t finish_ns; /* how long it did need from the helper's end to READY */
    struct message_mark mark;
};

struct message_go {
    struct message_mark mark; /* READY's */
    int64_t within_ns;        /* behind its clock_ns the guest may be started */
};

struct message_started {
    uint32_t domid;
    int64_t start_ns; /* from GO to running */
    int64_t save_ns;  /* of that: until "taken" was on disk */
};

/* What became of a guest, as its destination remembers. */
struct message_ask {
    char session[JOURNAL_ID_BYTES];
    char uuid[XL_UUID_TEXT_BYTES];
    char journal[JOURNAL_ID_BYTES]; /* the destination's, as READY had it */
};

enum answer {
    ANSWER_STARTED,
    ANSWER_ENDED,
    ANSWER_MOVED_ON,
    ANSWER_GONE,
    ANSWER_IN_DOUBT, /* a process there is still at it */
    ANSWER_UNKNOWN,  /* that is not "it did not run" */
    ANSWERS
};

struct message_answer {
    enum answer answer;
    char moved_to[JOURNAL_PEER_BYTES];
};

/* As the journal has it: 32 hex digits. */
void message_session_text(
    const uint8_t session[static LINK_SESSION_BYTES], char text[static JOURNAL_ID_BYTES]);

int message_send_hello(struct control *c, struct err *e);
int message_send_offer(struct control *c, const struct message_offer *offer, struct err *e);
int message_send_accept(struct control *c, const struct message_accept *accept, struct err *e);
int message_send_wait(struct control *c, const struct message_wait *wait, struct err *e);
int message_send_ready(struct control *c, const struct message_ready *ready, struct err *e);
int message_send_go(struct control *c, const struct message_go *go, struct err *e);
int message_send_started(struct control *c, const struct message_started *started, struct err *e);
int message_send_ask(struct control *c, const struct message_ask *ask, struct err *e);
int message_send_answer(struct control *c, const struct message_answer *answer, struct err *e);
/* Takes over the references to two arrays of objects (docs/operate.md, docs/wire.md); guests may be
 * NULL: not known. */
int message_send_listing(struct control *c, json_t *migrations, json_t *guests, struct err *e);
/* REFUSE, FAILED, ABORT. */
int message_send_error(
    struct control *c, enum control_type type, const struct err *why, struct err *e);
int message_send_empty(struct control *c, enum control_type type, struct err *e);

/* -EBADMSG (ERR_PEER) for a body that makes no sense. A hello of another major version is
 * refused with both numbers. */
int message_parse_hello(
    const void *body, size_t len_bytes, struct message_hello *hello, struct err *e);
int message_parse_offer(
    const void *body, size_t len_bytes, struct message_offer *offer, struct err *e);
int message_parse_accept(
    const void *body, size_t len_bytes, struct message_accept *accept, struct err *e);
int message_parse_wait(
    const void *body, size_t len_bytes, struct message_wait *wait, struct err *e);
int message_parse_ready(
    const void *body, size_t len_bytes, struct message_ready *ready, struct err *e);
int message_parse_go(const void *body, size_t len_bytes, struct message_go *go, struct err *e);
int message_parse_started(
    const void *body, size_t len_bytes, struct message_started *started, struct err *e);
int message_parse_ask(const void *body, size_t len_bytes, struct message_ask *ask, struct err *e);
int message_parse_answer(
    const void *body, size_t len_bytes, struct message_answer *answer, struct err *e);
/* For the caller to drop. *guests: NULL when the other end does not know. */
int message_parse_listing(
    const void *body, size_t len_bytes, json_t **migrations, json_t **guests, struct err *e);
/* why gets what the peer says, whatever it holds already being kept (first cause wins). Always
 * leaves an error in why: one about the body if that makes no sense. */
void message_parse_error(const void *body, size_t len_bytes, struct err *why);

void message_offer_clear(struct message_offer *offer);

#endif
