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
    struct iovec parts[PLACE_MAX_PAGES];
    /* To be compared: */
    uint8_t *contents;
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
        *event = in_state_of(r);
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

/* Where the contents of the placer's entries go, pages that follow each other as one. */
static int list_parts(struct in_plain *s, unsigned count)
{
    int n = 0;

    for (unsigned i = 0; i < count; i++) {
        void *into = s->placer->into[i];

        if (!into)
            continue;
        if (n && (char *)s->parts[n - 1].iov_base + s->parts[n - 1].iov_len == into)
            s->parts[n - 1].iov_len += PAGE_BYTES;
        else
            s->parts[n++] = (struct iovec){into, PAGE_BYTES};
    }
    return n;
}

/* Straight into the guest, or to where a page table waits. */
static int read_pages(struct in_plain *s, const uint64_t *entries, unsigned count, struct err *e)
{
    int rc = place_begin(s->placer, entries, count, e);

    if (!rc)
        rc = v3_read_contents(&s->stream, s->parts, list_parts(s, count), e);
    if (!rc)
        rc = place_commit(s->placer, entries, count, e);
    place_end(s->placer);
    return rc;
}

/* To be compared. */
static int verify_pages(struct in_plain *s, const uint64_t *entries, unsigned count, struct err *e)
{
    unsigned n = 0;

    if (!s->contents && !(s->contents = malloc((size_t)PLACE_MAX_PAGES * PAGE_BYTES)))
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for pages");
    for (unsigned i = 0; i < count; i++) {
        s->pages[i] = s->contents + (size_t)n * PAGE_BYTES;
        n += v3_type_has_data(v3_entry_type(entries[i]));
    }

    struct iovec all = {s->contents, (size_t)n * PAGE_BYTES};
    const int rc = v3_read_contents(&s->stream, &all, n ? 1 : 0, e);

    return rc ? rc : place_compare(s->placer, entries, s->pages, count, e);
}

/* All entries were checked, and that there are as many contents. */
static int place_record(struct in_plain *s, const struct v3_page_data *record, struct err *e)
{
    int rc = 0;

    for (uint32_t done = 0, n; done < record->count && !rc; done += n) {
        const uint32_t left = record->count - done;
        const uint64_t *entries = record->entries + done;

        n = left < PLACE_MAX_PAGES ? left : PLACE_MAX_PAGES;
        rc = s->placer->verify ? verify_pages(s, entries, n, e) : read_pages(s, entries, n, e);
    }
    return rc;
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
    rc = v3_decode_page_entries(s->record.body, s->record.len_bytes, s->stream.contents_bytes,
        frames->frame_count, &pages, e);
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
    free(s->contents);
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
    s->stream.in_parts = s->stream.pages_apart = true;
    *in = &s->base;
    return 0;
}
