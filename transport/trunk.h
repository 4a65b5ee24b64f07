/* SPDX-License-Identifier: MIT */
/*
 * The trunk: everything in a migration but its pages (docs/wire.md, "Trunk"). Senders write one
 * record each; the receiver asks for the next message, which comes checked and whole.
 */
#ifndef TRANSPORT_TRUNK_H
#define TRANSPORT_TRUNK_H

#include "transport/aux.h"
#include "transport/record.h"

struct trunk_head {
    uint32_t guest_type; /* V3_GUEST_PV or V3_GUEST_HVM */
    uint32_t codecs;     /* that blocks may be stored with: bits of enum codec */
    bool deltas;         /* pages may come as differences */
    uint32_t xen_major, xen_minor;
    uint32_t lane_count;
    uint64_t frame_count; /* above every PFN */
    uint64_t page_count;  /* an estimate of those populated; for progress */
};

struct trunk_round {
    uint64_t round;
    uint64_t page_count;
    bool last;
};

struct trunk_lanes_done {
    uint32_t lane_count;
    struct lane_totals lanes[MAX_LANES];
};

struct trunk_result {
    /* ERR_NONE: all is in place. Otherwise the receiver's first cause. */
    struct err failure;
    int64_t finish_ns;
    uint64_t populated_pages;
};

int trunk_send_head(struct channel *ch, const struct trunk_head *head, struct err *e);
/* The body of a v3 record (V3_REC_...), in parts; cut into as many STATE records as it takes. */
int trunk_send_state(
    struct channel *ch, uint32_t v3_type, const struct iovec *parts, int count, struct err *e);
int trunk_send_round(struct channel *ch, const struct trunk_round *round, struct err *e);
int trunk_send_lanes_done(struct channel *ch, const struct trunk_lanes_done *done, struct err *e);
int trunk_send_prepare(struct channel *ch, struct err *e);
int trunk_send_end(struct channel *ch, struct err *e);
/* From the destination. */
int trunk_send_result(struct channel *ch, const struct trunk_result *result, struct err *e);

struct trunk_message {
    enum record_type type;
    union {
        struct trunk_head head;
        struct {
            uint32_t v3_type;
            const void *body; /* 8-byte aligned, the reader's: valid until the next call */
            size_t len_bytes;
            bool more; /* the next message is its continuation */
        } state;
        struct trunk_round round;
        struct trunk_lanes_done lanes_done;
        struct aux_source aux_source;
        struct {
            uint32_t source;
            struct aux_totals totals;
        } aux_done;
        struct trunk_result result;
    };
};

/* One per receiving end of a trunk; owned by the thread that receives. */
struct trunk_reader {
    struct channel *ch;
    bool in_parts; /* X86_PV_P2M_FRAMES, of which a small guest may have much, comes as it is cut */
    size_t part_bytes; /* of one that is not through: what came so far */
    uint8_t *body;     /* the record, or the state being put together; grows part by part */
    size_t cap_bytes;
};

int trunk_reader_init(struct trunk_reader *r, struct channel *ch, struct err *e);
void trunk_reader_destroy(struct trunk_reader *r);

/*
 * The next message. Its fields are checked (limits, reserved, v3_type is a state and its body not
 * longer than that state may be); the caller checks the order of messages and what is in a state's
 * body. -ENODATA, without text: clean end. Errors as record_recv().
 */
int trunk_recv(struct trunk_reader *r, struct trunk_message *m, int64_t deadline_ns, struct err *e);

#endif
