/*
 * The plain feed: one record after the other from a descriptor, and never a byte more than the
 * stream has, because libxl's own records follow it there.
 */
#include "base/deadline.h"
#include "engine/feed.h"
#include "engine/xen/apply.h"
#include "transport/pages.h"
#include "transport/v3_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Within a record. Between two the sender may take as long as it likes: to suspend, for one; its
 * death ends the stream. */
#define STALL_NS (60 * NS_PER_S)

struct plain {
    struct feed feed;
    struct v3_stream stream;
    char name[48];
    uint32_t version;
    struct applier *applier; /* from the first pages on */
    const void *pages[APPLY_MAX_PAGES];
};

static int read_head(struct feed *f, struct feed_head *head, struct err *e)
{
    struct plain *s = (struct plain *)f;
    struct v3_headers h;
    const int rc = v3_read_headers(&s->stream, &h, DEADLINE_NEVER, e);

    if (rc)
        return rc;
    s->version = h.version;
    *head = (struct feed_head){
        .guest_type = h.guest_type,
        /* A PV stream says later how many; an HVM one never does. */
        .frame_limit = h.guest_type == V3_GUEST_PV ? 0 : WIRE_MAX_FRAMES,
    };
    return 0;
}

/* Version 2 has no mark between what comes before memory and memory. */
static int infer_static_done(struct plain *s, struct restore *r, struct err *e)
{
    return s->version < 3 && !r->static_done ? restore_static_done(r, e) : 0;
}

static int begin_pages(struct plain *s, struct restore *r, struct err *e)
{
    int rc = infer_static_done(s, r, e);

    if (!rc)
        rc = restore_check_ready(r, e);
    if (!rc && !s->applier)
        rc = applier_create(&s->applier, &r->frames, r->levels, s->feed.p->log, e);
    return rc;
}

/* The record was checked whole; its pages stand one after the other. */
static int apply_record(struct plain *s, const struct v3_page_data *record, struct err *e)
{
    const uint8_t *page = record->pages;

    for (uint32_t done = 0, n; done < record->count; done += n) {
        const uint32_t left = record->count - done;

        n = left < APPLY_MAX_PAGES ? left : APPLY_MAX_PAGES;
        for (uint32_t i = 0; i < n; i++) {
            s->pages[i] = page;
            if (v3_type_has_data(v3_entry_type(record->entries[done + i])))
                page += PAGE_BYTES;
        }

        const int rc = apply_pages(s->applier, record->entries + done, s->pages, n, e);

        if (rc)
            return rc;
    }
    return 0;
}

static int take_pages(
    struct plain *s, struct restore *r, const struct v3_record *record, struct err *e)
{
    struct v3_page_data pages;
    int rc = begin_pages(s, r, e);

    if (!rc)
        rc = v3_decode_page_data(record->body, record->len_bytes, r->frames.frame_count, &pages, e);
    if (!rc)
        rc = apply_record(s, &pages, e);
    if (!rc)
        feed_report(&s->feed, &r->frames);
    return rc;
}

static int take_record(
    struct plain *s, struct restore *r, const struct v3_record *record, struct err *e)
{
    switch (record->type) {
    case V3_PAGE_DATA:
        return take_pages(s, r, record, e);
    case V3_VERIFY: {
        const int rc = begin_pages(s, r, e);

        if (!rc)
            s->applier->verify = true;
        return rc;
    }
    case V3_END:
        return restore_check_ready(r, e);
    case V3_X86_PV_P2M_FRAMES: {
        const int rc = infer_static_done(s, r, e);

        return rc ? rc : restore_take(r, record->type, record->body, record->len_bytes, e);
    }
    case V3_CHECKPOINT:
    case V3_CHECKPOINT_DIRTY_PFN_LIST:
        return err_set(e, ERR_PEER, EPROTO,
            "%s: a checkpointed stream (Remus or COLO), which is not supported", s->name);
    case V3_TOOLSTACK:
        return err_set(e, ERR_PEER, EPROTO, "%s: a TOOLSTACK record has no place in it", s->name);
    default:
        return restore_take(r, record->type, record->body, record->len_bytes, e);
    }
}

static int receive(struct feed *f, struct restore *r, struct err *e)
{
    struct plain *s = (struct plain *)f;
    struct v3_record record;
    int rc;

    do {
        rc = v3_read_record(&s->stream, &record, DEADLINE_NEVER, e);
        if (!rc)
            rc = take_record(s, r, &record, e);
    } while (!rc && record.type != V3_END);
    if (!rc && s->applier && s->applier->verify)
        log_write(f->p->log, s->applier->mismatches ? LOG_WARN : LOG_INFO,
            "verified: %" PRIu64 " pages differ", s->applier->mismatches);
    applier_destroy(s->applier);
    s->applier = NULL;
    return rc;
}

/* The stream goes one way. */
static int answer(
    struct feed *f, const struct err *failure, const struct dest_result *result, struct err *e)
{
    (void)f, (void)failure, (void)result, (void)e;
    return 0;
}

static uint64_t count_bytes(const struct feed *f)
{
    return ((const struct plain *)f)->stream.moved_bytes;
}

static void close_feed(struct feed *f)
{
    struct plain *s = (struct plain *)f;

    v3_stream_destroy(&s->stream);
    pthread_mutex_destroy(&f->report_lock);
    free(s);
}

static const struct feed_ops plain_ops = {
    .read_head = read_head,
    .receive = receive,
    .answer = answer,
    .count_bytes = count_bytes,
    .close = close_feed,
};

int feed_open_plain(struct feed **f, const struct dest_params *p, struct err *e)
{
    struct plain *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    s->feed = (struct feed){.ops = &plain_ops, .p = p};
    pthread_mutex_init(&s->feed.report_lock, NULL);
    snprintf(s->name, sizeof(s->name), "the stream on descriptor %d", p->stream_fd);
    v3_stream_init(&s->stream, p->stream_fd, p->cancel, STALL_NS, s->name);
    *f = &s->feed;
    return 0;
}
