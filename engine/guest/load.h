/*
 * Building a guest's state at the destination, by guest type. State records arrive in stream
 * order (libxc v3 bodies, whatever carried them); what must wait for the last page is kept and
 * done by complete(), with every page in place and nothing mapped.
 *
 * Owner: the thread that runs the destination's story.
 */
#ifndef ENGINE_GUEST_LOAD_H
#define ENGINE_GUEST_LOAD_H

#include "engine/dest.h"
#include "engine/xen/domain.h"
#include "engine/in/frames.h"
#include "transport/v3.h"

/* A record's body, kept. */
struct blob {
    void *data;
    size_t len_bytes;
};

struct restore;

struct restore_ops {
    /* A state record of this guest type alone. Its place in the order was checked. */
    int (*take)(
        struct restore *r, uint32_t type, const void *body, size_t len_bytes, struct err *e);
    /* What pages need of this guest type alone (PV: the size of its p2m). */
    int (*check_ready)(struct restore *r, struct err *e);
    int (*complete)(struct restore *r, struct dest_result *result, struct err *e);
    /* Called exactly once, also after a failure. */
    void (*destroy)(struct restore *r);
};

struct restore {
    const struct restore_ops *ops;
    const struct dest_params *p;
    struct xen xen;
    struct domain domain;
    struct frames frames; /* ready once restore_check_ready() says so */
    unsigned levels;      /* PV: of page tables; else 0 */
    bool static_done;     /* STATIC_DATA_END was seen (or inferred) */
    struct blob cpuid, msrs;
    void *guest; /* the ops' own */
};

/* Reads what domain it is, which must agree with the stream's guest type (ERR_PEER otherwise).
 * frame_limit: every PFN of the stream is below it (0: not known yet). restore_close() follows in
 * any case. */
int restore_open(struct restore *r, const struct dest_params *p, uint32_t v3_guest_type,
    uint64_t frame_limit, struct err *e);
void restore_close(struct restore *r);

/* One state record of either type, in its place. Page data and stream control are not for it. */
int restore_take(
    struct restore *r, uint32_t type, const void *body, size_t len_bytes, struct err *e);
/* STATIC_DATA_END: policies to Xen, then the toolstack is told. Once; v2 streams infer it. */
int restore_static_done(struct restore *r, struct err *e);

/* Before the first page: is everything there that pages need? ERR_PEER if not. */
int restore_check_ready(struct restore *r, struct err *e);
/* After the last page, with nothing mapped: the state that had to wait; result gets the rings. */
int restore_complete(struct restore *r, struct dest_result *result, struct err *e);

int restore_hvm_init(struct restore *r, uint64_t frame_limit, struct err *e);
int restore_pv_init(struct restore *r, struct err *e);

/* Replace what is kept by a copy of body. */
int blob_keep(struct blob *b, const void *body, size_t len_bytes, struct err *e);
void blob_free(struct blob *b);

#endif
