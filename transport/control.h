/* SPDX-License-Identifier: MIT */
/*
 * Control frames: what the two supervisors say to each other (docs/wire.md). A frame is
 * {u16 type, u16 zero, u32 length} and a body; the length is checked against the type's limit
 * before anything is read; with --insecure a checksum follows. One thread receives; several may
 * send (the mutex keeps a frame whole).
 */
#ifndef TRANSPORT_CONTROL_H
#define TRANSPORT_CONTROL_H

#include "transport/channel.h"

#include <pthread.h>

enum control_type {
    CONTROL_HELLO = 1,      /* JSON: versions, features, limits; first from both sides */
    CONTROL_OFFER = 2,      /* JSON: the domain */
    CONTROL_ACCEPT = 3,     /* JSON: session, key, lanes */
    CONTROL_REFUSE = 4,     /* JSON: class, side, text; nothing was changed */
    CONTROL_LIBXL_DATA = 5, /* libxl's own stream, as it is */
    CONTROL_READY = 6,      /* JSON: all is in place, the domain is built and paused */
    CONTROL_GO = 7,         /* JSON: it is yours, if it is not too late */
    CONTROL_STARTED = 8,    /* JSON */
    CONTROL_FAILED = 9,     /* JSON: class, side, text; the sender's copy is gone */
    CONTROL_PING = 10,      /* empty */
    CONTROL_ABORT = 11,     /* JSON: class, side, text; the source gave up */
    CONTROL_LIBXL_END = 12, /* empty: no more LIBXL_DATA, with a device model */
    CONTROL_HEARD = 13,     /* empty: what STARTED or FAILED told is on the source's disk */
    CONTROL_ASK = 14,       /* JSON: what became of a session? instead of OFFER */
    CONTROL_ANSWER = 15,    /* JSON */
    CONTROL_SUSPENDED = 16, /* empty: of a live move, the guest stands still */
    CONTROL_PREPARED = 17,  /* empty: all but memory and vCPUs is built, the pause may come */
    CONTROL_LIST = 20,      /* empty: what is under way there? instead of OFFER */
    CONTROL_LISTING = 21,   /* JSON */
    CONTROL_WAIT = 22,      /* JSON: before ACCEPT: others come first */
};

enum {
    CONTROL_HEADER_BYTES = 8,
    CONTROL_SUM_BYTES = 4,
    CONTROL_MAX_JSON_BYTES = 1 << 20,
    CONTROL_MAX_DATA_BYTES = 1 << 16,
    CONTROL_BODY_BYTES = CONTROL_MAX_JSON_BYTES, /* a receiver's buffer */
};

struct control {
    struct channel *ch; /* owned */
    pthread_mutex_t send_lock;
};

void control_init(struct control *c, struct channel *ch);
/* Closes the channel. */
void control_close(struct control *c);

/* What a frame of that type may carry at most; -1 for a type that is not known. */
int64_t control_limit_bytes(uint16_t type);

int control_send(
    struct control *c, enum control_type type, const void *body, size_t len_bytes, struct err *e);
/* body has CONTROL_BODY_BYTES. -ENODATA without text: clean end. JSON bodies are followed by a
 * NUL that is not counted when there is room. */
int control_recv(struct control *c, enum control_type *type, void *body, size_t *len_bytes,
    int64_t deadline_ns, struct err *e);

const char *control_type_name(uint16_t type);

#endif
