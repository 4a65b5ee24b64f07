/* SPDX-License-Identifier: MIT */
/*
 * A plain stream: one record after the other from a descriptor, and never a byte more than the
 * stream has, because libxl's own records follow it there. The story's thread does everything.
 */
#include "engine/in/plain.h"

#include "base/deadline.h"
#include "engine/in/place.h"
#include "transport/record.h"
#include "transport/v3_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Applies within a record. Between two the sender may take as long as it likes (to suspend the
 * guest, for example); its death ends the stream. */
#define STALL_NS (60 * NS_PER_S)

struct in_plain {
    struct in base;
    const struct log *log;
    struct v3_stream stream;
    char name[48];
    uint32_t version;
    bool static_done;        /* STATIC_DATA_END came, or was implied */
    struct v3_record record; /* the last one read */
    bool held;               /* it was not handed out yet */
    struct placer *placer;   /* from the first pages on */
    const void *pages[PLACE_MAX_PAGES];
};

static struct in_plain *plain_of(struct in *in)
{
    return (struct in_plain *)in;
}

static int plain_head(struct in *in, struct in_head *head, struct err *e)
{
    struct in_plain *s = plain_of(in);
    struct v3_headers h;
    const int rc = v3_read_headers(&s->stream, &h, DEADLINE_NEVER, e);

    if (rc)
        return rc;
    s->version = h.version;
    *head = (struct in_head){
        .guest_type = h.guest_type,
        /* A PV stream tells the number of frames later, an HVM one never. */
        .frame_limit = h.guest_type == V3_GUEST_PV ? 0 : WIRE_MAX_FRAMES,
    };
    return 0;
}

/* Version 2 has no mark between static data and memory. */
static bool lacks_static_end(const struct in_plain *s)
{
    const uint32_t type = s->record.type;

    return s->version < 3 && !s->static_done &&
           (type == V3_PAGE_DATA || type == V3_VERIFY || type == V3_X86_PV_P2M_FRAMES);
}

/* No page comes any more. */
static void finish_pages(struct in_plain *s)
{
    if (s->placer && s->placer->verify)
        log_write(s->log, s->placer->mismatches ? LOG_WARN : LOG_INFO,
            "verified: %" PRIu64 " pages differ", s->placer->mismatches);
    placer_destroy(s->placer);
    s->placer = NULL;
}

static int sort_record(struct in_plain *s, struct in_event *event, struct err *e)
{
    const struct v3_record *r = &s->record;

    switch (r->type) {
    case V3_PAGE_DATA:
    case V3_VERIFY:
        *event = (struct in_event){.kind = IN_PAGES};
        return 0;
    case V3_CHECKPOINT:
        *event = (struct in_event){.kind = IN_CHECKPOINT};
        return 0;
    case V3_END:
        finish_pages(s);
        *event = (struct in_event){.kind = IN_END};
        return 0;
    case V3_CHECKPOINT_DIRTY_PFN_LIST:
        return in_refuse_checkpoint(&s->base, e);
    case V3_TOOLSTACK:
        return err_set(e, ERR_PEER, EPROTO, "%s: a TOOLSTACK record has no place in it", s->name);
    default:
        *event = (struct in_event){IN_STATE, r->type, r->body, r->len_bytes, r->more};
        return 0;
    }
}

static int plain_next(struct in *in, struct in_event *event, struct err *e)
{
    struct in_plain *s = plain_of(in);
    const int rc = s->held ? 0 : v3_read_record(&s->stream, &s->record, DEADLINE_NEVER, e);

    if (rc)
        return rc;
    s->held = lacks_static_end(s);
    if (s->held || s->record.type == V3_STATIC_DATA_END)
        s->static_done = true;
    if (!s->held)
        return sort_record(s, event, e);
    *event = (struct in_event){.kind = IN_STATE, .v3_type = V3_STATIC_DATA_END};
    return 0;
}

/* The record was checked whole; its pages stand one after the other. */
static int place_record(struct in_plain *s, const struct v3_page_data *record, struct err *e)
{
    const uint8_t *page = record->pages;

    for (uint32_t done = 0, n; done < record->count; done += n) {
        const uint32_t left = record->count - done;

        n = left < PLACE_MAX_PAGES ? left : PLACE_MAX_PAGES;
        for (uint32_t i = 0; i < n; i++) {
            s->pages[i] = page;
            if (v3_type_has_data(v3_entry_type(record->entries[done + i])))
                page += PAGE_BYTES;
        }

        const int rc = place_pages(s->placer, record->entries + done, s->pages, n, e);

        if (rc)
            return rc;
    }
    return 0;
}

static int plain_pages(
    struct in *in, struct frames *frames, const struct in_hook *hook, struct err *e)
{
    struct in_plain *s = plain_of(in);
    struct v3_page_data pages;
    int rc = s->placer ? 0 : placer_create(&s->placer, frames, s->log, e);

    if (rc)
        return rc;
    if (s->record.type == V3_VERIFY) {
        s->placer->verify = true;
        return 0;
    }
    rc = v3_decode_page_data(s->record.body, s->record.len_bytes, frames->frame_count, &pages, e);
    if (!rc)
        rc = place_record(s, &pages, e);
    if (!rc)
        hook->placed(hook->arg);
    return rc;
}

/* The stream goes one way. */
static int plain_answer(
    struct in *in, const struct err *failure, const struct arrival *arrival, struct err *e)
{
    (void)in, (void)failure, (void)arrival, (void)e;
    return 0;
}

static uint64_t plain_wire_bytes(const struct in *in)
{
    return ((const struct in_plain *)in)->stream.moved_bytes;
}

static void plain_close(struct in *in)
{
    struct in_plain *s = plain_of(in);

    placer_destroy(s->placer);
    v3_stream_destroy(&s->stream);
    free(s);
}

static const struct in_ops plain_ops = {
    .head = plain_head,
    .next = plain_next,
    .pages = plain_pages,
    .answer = plain_answer,
    .wire_bytes = plain_wire_bytes,
    .close = plain_close,
};

int in_plain_open(
    int fd, const struct cancel *cancel, const struct log *log, struct in **in, struct err *e)
{
    struct in_plain *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->log = log;
    snprintf(s->name, sizeof(s->name), "the stream on descriptor %d", fd);
    s->base = (struct in){.ops = &plain_ops, .name = s->name};
    v3_stream_init(&s->stream, fd, cancel, STALL_NS, s->name);
    s->stream.in_parts = true;
    *in = &s->base;
    return 0;
}
