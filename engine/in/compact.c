/* SPDX-License-Identifier: MIT */
#include "engine/in/compact.h"

#include "base/deadline.h"
#include "transport/compact/aux.h"
#include "transport/compact/file_io.h"
#include "engine/in/place.h"
#include "transport/v3_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* To read from memory. */
#define STALL_NS (60 * NS_PER_S)

struct in_compact;

struct lane {
    struct in_compact *owner;
    pthread_t thread;
    bool started;
    struct compact_reader *reader;
    struct placer *placer;
    uint8_t *aux_pages; /* an extent's; NULL: there is no auxiliary data */
};

struct in_compact {
    struct in base;
    struct in_compact_params p;
    uint64_t stored_bytes; /* in all chunks of the chain */
    uint32_t *extents;     /* that have pages */
    uint64_t extent_count;
    enum { AT_HEAD, AT_PAGES, AT_TAIL } phase;
    /* The section whose records are handed out. */
    int fd; /* of memory; -1: none is open */
    size_t len_bytes;
    struct v3_stream stream;
    struct v3_record record;
    struct compact_aux aux;
    unsigned aux_told, aux_done; /* sources that were handed out, before and after pages */
    struct aux_totals aux_totals[AUX_MAX_SOURCES]; /* lock, while pages() runs */
    /* While pages() runs. */
    struct frames *frames;
    const struct in_hook *hook;
    atomic_uint_fast64_t next_extent; /* in extents */
    atomic_bool stop;
    pthread_mutex_t lock; /* guards failure and aux_totals */
    struct err failure;   /* the first */
    struct lane lanes[MAX_LANES];
};

static struct in_compact *compact_of(struct in *in)
{
    return (struct in_compact *)in;
}

/* ---- a lane's thread ---- */

/* Where the contents go, by frame within the extent. */
static void spread(const uint64_t *entries, unsigned count, const struct placer *p, void **into)
{
    for (unsigned i = 0; i < EXTENT_FRAMES; i++)
        into[i] = NULL;
    for (unsigned i = 0; i < count; i++)
        into[v3_entry_pfn(entries[i]) % EXTENT_FRAMES] = p->into[i];
}

static int place_extent(struct lane *l, uint64_t extent, struct err *e)
{
    uint64_t entries[EXTENT_FRAMES];
    void *into[EXTENT_FRAMES];
    const unsigned count = compact_entries_of(&l->owner->p.chain->table, extent, entries);

    if (!count)
        return 0;
    if (v3_entry_pfn(entries[count - 1]) >= l->owner->frames->frame_count)
        return err_set(e, ERR_PEER, EPROTO, "%s has frames beyond the guest's last, 0x%" PRIx64,
            l->owner->base.name, l->owner->frames->frame_count - 1);

    int rc = place_begin(l->placer, entries, count, e);

    if (!rc) {
        spread(entries, count, l->placer, into);
        rc = compact_reader_fill(l->reader, extent, into, e);
    }
    if (!rc)
        rc = place_commit(l->placer, entries, count, e);
    place_end(l->placer);
    if (!rc)
        l->owner->hook->placed(l->owner->hook->arg);
    return rc;
}

static int give_aux(struct lane *l, struct aux_batch *b, struct err *e)
{
    struct in_compact *s = l->owner;
    const int rc = b->count ? s->hook->aux(s->hook->arg, 0, b, e) : 0;

    if (rc || !b->count)
        return rc;
    pthread_mutex_lock(&s->lock);
    aux_totals_add(&s->aux_totals[b->source], b);
    pthread_mutex_unlock(&s->lock);
    b->count = 0;
    return 0;
}

/* Frames behind the guest's last: entries of one source, because an extent has one. */
static int place_aux(struct lane *l, uint64_t extent, struct err *e)
{
    struct in_compact *s = l->owner;
    uint64_t entries[EXTENT_FRAMES];
    const unsigned count = compact_entries_of(&s->p.chain->table, extent, entries);
    struct aux_batch b = {.count = 0};
    int rc = count ? compact_reader_load(l->reader, extent, l->aux_pages, e) : 0;

    for (unsigned i = 0; i < count && !rc; i++) {
        struct aux_entry *entry = &b.entries[b.count++];
        const uint8_t *key;
        const struct compact_aux_part *part = compact_aux_find(
            &s->aux, v3_entry_pfn(entries[i]), &key, &entry->bytes);

        if (!part || v3_entry_type(entries[i]) != V3_PAGE_NOTAB)
            return err_set(e, ERR_PEER, EPROTO,
                "%s has a frame 0x%" PRIx64 " that is neither the guest's nor auxiliary data",
                s->base.name, v3_entry_pfn(entries[i]));
        b.source = part->source.number;
        memcpy(entry->key, key, AUX_KEY_BYTES);
        entry->withdrawn = false;
        entry->content = compact_page_at(l->aux_pages, entries[i]);
        if (b.count == AUX_MAX_ENTRIES)
            rc = give_aux(l, &b, e);
    }
    return rc ? rc : give_aux(l, &b, e);
}

static bool is_aux(struct in_compact *s, uint64_t extent)
{
    return s->aux.count && extent >= s->aux.parts[0].first_frame / EXTENT_FRAMES;
}

static int place_some(struct lane *l, struct err *e)
{
    struct in_compact *s = l->owner;
    uint64_t next;
    int rc = 0;

    while (!rc && !atomic_load_explicit(&s->stop, memory_order_relaxed) &&
           (next = atomic_fetch_add(&s->next_extent, 1)) < s->extent_count) {
        const uint64_t extent = s->extents[next];

        if (cancel_is_fired(s->p.cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        rc = is_aux(s, extent) ? place_aux(l, extent, e) : place_extent(l, extent, e);
    }
    return rc;
}

static void fail(struct in_compact *s, const struct err *e)
{
    pthread_mutex_lock(&s->lock);
    err_take(&s->failure, e);
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->stop, true);
}

static void *run_lane(void *arg)
{
    struct lane *l = arg;
    struct err e = ERR_INIT;

    if (place_some(l, &e))
        fail(l->owner, &e);
    return NULL;
}

static int start_lane(struct lane *l, struct err *e)
{
    const struct in_compact *s = l->owner;
    int rc = compact_reader_create(s->p.chain, false, &l->reader, e);

    if (!rc)
        rc = placer_create(&l->placer, s->frames, s->p.log, e);
    if (!rc && s->aux.count &&
        !(l->aux_pages = aligned_alloc(PAGE_BYTES, (size_t)EXTENT_FRAMES * PAGE_BYTES)))
        rc = err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    if (rc)
        return rc;
    rc = pthread_create(&l->thread, NULL, run_lane, l);
    l->started = !rc;
    return rc ? err_sys(e, ERR_LOCAL, rc, "cannot start a thread") : 0;
}

/* ---- sections ---- */

static void close_section(struct in_compact *s)
{
    v3_stream_destroy(&s->stream);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* Of HEAD: what comes behind the states. */
static int read_aux(struct in_compact *s, const struct iovec *head, struct err *e)
{
    const int rc = compact_aux_read(&s->aux, head, s->p.chain->table.frame_count, e);

    if (rc)
        err_prepend(e, "%s", s->p.chain->files[0].name);
    s->len_bytes = s->aux.states_bytes;
    return rc;
}

static int open_section(struct in_compact *s, enum compact_section_type type, struct err *e)
{
    struct iovec plain;
    int rc = compact_file_section(&s->p.chain->files[0], type, &plain, e);

    close_section(s);
    if (rc)
        return rc;
    s->len_bytes = plain.iov_len;
    if (type == COMPACT_HEAD)
        rc = read_aux(s, &plain, e);
    if (!rc && (s->fd = memfd_create("state", MFD_CLOEXEC)) < 0)
        rc = err_sys(e, ERR_LOCAL, errno, "no memory for the guest's state");
    if (!rc)
        rc = file_io_write(s->fd, plain.iov_base, s->len_bytes, 0, e);
    free(plain.iov_base);
    v3_stream_init(&s->stream, s->fd, s->p.cancel, STALL_NS, s->base.name);
    s->stream.in_parts = true;
    return rc;
}

/* Is there another record in the section? */
static bool has_record(const struct in_compact *s)
{
    return s->stream.left_bytes || s->stream.moved_bytes < s->len_bytes;
}

static int read_state(struct in_compact *s, struct in_event *event, struct err *e)
{
    const struct v3_record *r = &s->record;
    const int rc = v3_read_record(&s->stream, &s->record, DEADLINE_NEVER, e);

    if (rc)
        return rc;
    switch (r->type) {
    case V3_END:
    case V3_PAGE_DATA:
    case V3_TOOLSTACK:
    case V3_VERIFY:
    case V3_CHECKPOINT:
    case V3_CHECKPOINT_DIRTY_PFN_LIST:
        return err_set(
            e, ERR_PEER, EPROTO, "%s: %s has no place in it", s->base.name, v3_name(r->type));
    default:
        *event = in_state_of(r);
        return 0;
    }
}

/* ---- the story's thread ---- */

static int compact_head(struct in *in, struct in_head *head, struct err *e)
{
    struct in_compact *s = compact_of(in);
    struct v3_headers h;
    int rc = open_section(s, COMPACT_HEAD, e);

    if (!rc)
        rc = v3_read_headers(&s->stream, &h, DEADLINE_NEVER, e);
    if (!rc && h.version != 3)
        rc = err_set(e, ERR_PEER, EPROTO, "%s: libxc's version %u", in->name, h.version);
    if (!rc)
        *head = (struct in_head){
            h.guest_type, compact_aux_guest_frames(&s->aux, s->p.chain->table.frame_count)};
    return rc;
}

static int compact_next(struct in *in, struct in_event *event, struct err *e)
{
    struct in_compact *s = compact_of(in);
    int rc = 0;

    if (s->phase == AT_HEAD && !has_record(s) && s->aux_told < s->aux.count) {
        *event = (struct in_event){.kind = IN_AUX, .aux = &s->aux.parts[s->aux_told++].source};
        return 0;
    }
    if (s->phase == AT_PAGES && s->aux_done < s->aux.count) {
        *event = (struct in_event){.kind = IN_AUX_DONE,
            .aux_number = s->aux_done,
            .aux_totals = s->aux_totals[s->aux_done]};
        s->aux_done++;
        return 0;
    }
    if (s->phase == AT_HEAD && !has_record(s)) {
        s->phase = AT_PAGES;
        *event = (struct in_event){.kind = IN_PAGES};
        return 0;
    }
    if (s->phase == AT_PAGES) {
        s->phase = AT_TAIL;
        rc = open_section(s, COMPACT_TAIL, e);
    }
    if (rc || has_record(s))
        return rc ? rc : read_state(s, event, e);
    *event = (struct in_event){.kind = IN_END};
    return 0;
}

/* Each key had its page. */
static int check_aux(const struct in_compact *s, struct err *e)
{
    for (unsigned i = 0; i < s->aux.count; i++)
        if (s->aux_totals[i].set != s->aux.parts[i].key_count)
            return err_set(e, ERR_PEER, EPROTO,
                "%s has keys of %" PRIu64 " entries of \"%s\", and pages of %" PRIu64, s->base.name,
                s->aux.parts[i].key_count, s->aux.parts[i].source.name, s->aux_totals[i].set);
    return 0;
}

static int compact_pages(
    struct in *in, struct frames *frames, const struct in_hook *hook, struct err *e)
{
    struct in_compact *s = compact_of(in);
    struct err own = ERR_INIT;
    int rc = 0;

    s->frames = frames;
    s->hook = hook;
    /* All that is dropped has one place, and pages are read straight to theirs. */
    if (frames->foreign_count)
        rc = err_set(&own, ERR_INTERNAL, EINVAL, "rings are mapped before pages came from a file");
    for (unsigned i = 0; i < s->p.lane_count && !rc; i++)
        rc = start_lane(&s->lanes[i], &own);
    if (rc)
        fail(s, &own);
    for (unsigned i = 0; i < s->p.lane_count; i++) {
        if (s->lanes[i].started)
            pthread_join(s->lanes[i].thread, NULL);
        placer_destroy(s->lanes[i].placer);
        compact_reader_destroy(s->lanes[i].reader);
        free(s->lanes[i].aux_pages);
        s->lanes[i].aux_pages = NULL;
        s->lanes[i].placer = NULL;
        s->lanes[i].reader = NULL;
    }
    return err_is_set(&s->failure) ? err_take(e, &s->failure) : check_aux(s, e);
}

/* A file hears nothing. */
static int compact_answer(
    struct in *in, const struct err *failure, const struct arrival *arrival, struct err *e)
{
    (void)in, (void)failure, (void)arrival, (void)e;
    return 0;
}

/* How far the lanes are, as a share of what they have to read at most. */
static uint64_t compact_wire_bytes(const struct in *in)
{
    const struct in_compact *s = (const struct in_compact *)in;
    const uint64_t all = s->extent_count;
    const uint64_t begun = atomic_load_explicit(&s->next_extent, memory_order_relaxed);

    return (uint64_t)((double)s->stored_bytes * (double)(begun < all ? begun : all) /
                      (double)(all ?: 1));
}

static void compact_close(struct in *in)
{
    struct in_compact *s = compact_of(in);

    close_section(s);
    compact_aux_destroy(&s->aux);
    pthread_mutex_destroy(&s->lock);
    free(s->extents);
    free(s);
}

static const struct in_ops compact_ops = {
    .head = compact_head,
    .next = compact_next,
    .pages = compact_pages,
    .answer = compact_answer,
    .wire_bytes = compact_wire_bytes,
    .close = compact_close,
};

int in_compact_open(const struct in_compact_params *p, struct in **in, struct err *e)
{
    struct in_compact *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    const int rc = compact_list_groups(&p->chain->table, &s->extents, &s->extent_count, e);

    if (rc) {
        free(s);
        return rc;
    }
    s->base = (struct in){.ops = &compact_ops, .name = p->chain->files[0].name};
    s->p = *p;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    for (unsigned i = 0; i < MAX_LANES; i++)
        s->lanes[i] = (struct lane){.owner = s};
    for (unsigned i = 0; i < p->chain->count; i++)
        s->stored_bytes += p->chain->files[i].footer.sections[COMPACT_HEAD - 1].offset;
    *in = &s->base;
    return 0;
}
