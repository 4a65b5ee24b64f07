/* SPDX-License-Identifier: MIT */
#include "tests/unit/image_ends.h"

#include "base/bitmap.h"
#include "engine/in/lanes.h"
#include "engine/in/plain.h"
#include "engine/out/plain.h"
#include "tests/unit/fake_xen.h"
#include "transport/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define STALL_NS (20 * NS_PER_S)

static void ignore_line(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

static const struct log silent = {LOG_ERROR, ignore_line, NULL};

/* One extent is whole, the others have holes. */
bool ends_is_hole(uint64_t pfn)
{
    return pfn / EXTENT_FRAMES != 3 && pfn % 11 == 5;
}

static uint64_t frame_of(const struct guest *g, uint64_t pfn)
{
    (void)g;
    return ends_is_hole(pfn) ? GUEST_NO_FRAME : pfn;
}

void ends_open_guest(struct image_ends *x)
{
    static const struct guest_ops ops = {.frame_of = frame_of};
    struct err e = ERR_INIT;

    *x = (struct image_ends){
        .stream = {-1, -1}, .in_error = ERR_INIT, .delta_bytes = x->delta_bytes};
    fake_xen_begin(ENDS_FRAMES);
    assert_int_equal(xen_open(&x->xen, &silent, &e), 0);
    x->guest = (struct guest){
        .ops = &ops,
        .xen = &x->xen,
        .dom = {.domid = FAKE_SOURCE, .hvm = true},
        .v3_type = V3_GUEST_HVM,
        .frames = ENDS_FRAMES,
        .present_pages = ENDS_FRAMES,
    };
    assert_int_equal(frame_notes_init(&x->maps, ENDS_FRAMES, &e), 0);
    x->bitmap = bitmap_alloc(ENDS_FRAMES);
    assert_non_null(x->bitmap);
    assert_int_equal(cancel_init(&x->out_cancel, &e), 0);
    assert_int_equal(cancel_init(&x->in_cancel, &e), 0);
}

static void pair_up(
    struct image_ends *x, const char *name, struct channel **out, struct channel **in)
{
    struct err e = ERR_INIT;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], name, &x->out_cancel, STALL_NS, out, &e), 0);
    assert_int_equal(tcp_channel(fds[1], name, &x->in_cancel, STALL_NS, in, &e), 0);
}

void ends_open_lanes(struct image_ends *x, unsigned lane_count)
{
    struct err e = ERR_INIT;

    ends_open_guest(x);
    x->lane_count = lane_count;
    pair_up(x, "trunk", &x->out_trunk, &x->in_trunk);
    for (unsigned i = 0; i < lane_count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "lane %u", i);
        pair_up(x, name, &x->out_lanes[i], &x->in_lanes[i]);
    }

    const struct out_lanes_params out = {
        .trunk = x->out_trunk,
        .lanes = x->out_lanes,
        .delta_bytes = x->delta_bytes,
        .lane_count = lane_count,
        .compress = x->delta_bytes ? CODEC_NONE : CODEC_LZ4, /* its pages shrink to nothing */
        .cancel = &x->out_cancel,
        .log = &silent,
    };
    const struct in_lanes_params in = {
        .trunk = x->in_trunk,
        .lanes = x->in_lanes,
        .lane_count = lane_count,
        .cancel = &x->in_cancel,
        .log = &silent,
    };

    assert_int_equal(out_lanes_open(&out, &x->out, &e), 0);
    assert_int_equal(in_lanes_open(&in, &x->in, &e), 0);
}

void ends_open_plain(struct image_ends *x)
{
    struct err e = ERR_INIT;

    ends_open_guest(x);
    assert_int_equal(pipe2(x->stream, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(out_plain_open(x->stream[1], &x->out_cancel, &x->out, &e), 0);
    assert_int_equal(in_plain_open(x->stream[0], &x->in_cancel, &silent, &x->in, &e), 0);
}

void ends_close(struct image_ends *x)
{
    ends_join(x);
    if (x->out)
        x->out->ops->close(x->out);
    if (x->in)
        x->in->ops->close(x->in);
    channel_close(x->out_trunk);
    channel_close(x->in_trunk);
    for (unsigned i = 0; i < x->lane_count; i++) {
        channel_close(x->out_lanes[i]);
        channel_close(x->in_lanes[i]);
    }
    if (x->stream[0] >= 0) {
        close(x->stream[0]);
        close(x->stream[1]);
    }
    frame_notes_destroy(&x->maps);
    frames_destroy(&x->frames);
    free(x->bitmap);
    free(x->at_checkpoint);
    xen_close(&x->xen);
    assert_int_equal(fake_xen_open_handles(), 0);
    assert_int_equal(fake_xen_mapped(), 0);
    cancel_destroy(&x->out_cancel);
    cancel_destroy(&x->in_cancel);
    fake_xen_end();
}

void ends_write(struct image_ends *x, uint64_t pfn, uint64_t what)
{
    uint64_t *words = (uint64_t *)fake_xen_page(FAKE_SOURCE, pfn);

    /* Some pages become zero again. */
    for (unsigned i = 0; i < FAKE_PAGE_BYTES / sizeof(*words); i++)
        words[i] = (what + pfn) % 5 ? what << 40 ^ pfn << 8 ^ (i & 0xf) : 0;
    bitmap_set(x->bitmap, pfn);
}

void ends_write_little(struct image_ends *x, uint64_t pfn, uint64_t what)
{
    ((uint64_t *)fake_xen_page(FAKE_SOURCE, pfn))[what % 500] += what;
    bitmap_set(x->bitmap, pfn);
}

void ends_write_all(struct image_ends *x, uint64_t what)
{
    for (uint64_t pfn = 0; pfn < ENDS_FRAMES; pfn++)
        ends_write(x, pfn, what);
}

static void ignore_progress(void *arg, const struct round_counts *counts)
{
    (void)arg, (void)counts;
}

int ends_round(struct image_ends *x, bool last, struct err *e)
{
    const struct round_job job = {
        .bitmap = x->bitmap,
        .pages = bitmap_count(x->bitmap, ENDS_FRAMES),
        .end_frame = ENDS_FRAMES,
        .round = ++x->rounds,
        .suspended = last,
        .last = last,
        .hook = {ignore_progress, NULL},
    };
    const int rc = x->out->ops->round(x->out, &job, &x->counts, e);

    memset(x->bitmap, 0, bitmap_words(ENDS_FRAMES) * sizeof(*x->bitmap));
    return rc;
}

int ends_state(struct image_ends *x, uint32_t v3_type, struct err *e)
{
    uint64_t body = v3_type;
    struct iovec part = {&body, v3_type == V3_STATIC_DATA_END ? 0 : sizeof(body)};

    return x->out->ops->state(x->out, v3_type, &part, 1, e);
}

/* ---- the destination ---- */

static void ignore_placed(void *arg)
{
    (void)arg;
}

static int note_prepare(void *arg, struct err *e)
{
    struct image_ends *x = arg;

    (void)e;
    x->prepares++;
    return 0;
}

static int note_aux(void *arg, uint32_t round, const struct aux_batch *b, struct err *e)
{
    struct image_ends *x = arg;

    (void)e;
    atomic_fetch_add(&x->aux_entries[round], b->count);
    return 0;
}

static void keep_checkpoint(struct image_ends *x)
{
    const size_t bytes = (size_t)ENDS_FRAMES * FAKE_PAGE_BYTES;

    x->checkpoints++;
    free(x->at_checkpoint);
    x->at_checkpoint = malloc(bytes);
    if (x->at_checkpoint)
        memcpy(x->at_checkpoint, fake_xen_page(FAKE_DEST, 0), bytes);
}

static int handle_event(struct image_ends *x, const struct in_event *event, struct err *e)
{
    const struct in_hook hook = {
        .placed = ignore_placed, .aux = note_aux, .prepare = note_prepare, .arg = x};

    switch (event->kind) {
    case IN_STATE:
        if (x->state_count < ENDS_MAX_STATES)
            x->states[x->state_count++] = event->v3_type;
        return 0;
    case IN_PAGES:
        x->page_events++;
        return x->in->ops->pages(x->in, &x->frames, &hook, e);
    case IN_AUX:
        x->aux_sources++;
        return 0;
    case IN_AUX_DONE:
        x->aux_ends++;
        return 0;
    case IN_CHECKPOINT:
        keep_checkpoint(x);
        return 0;
    default:
        return 0;
    }
}

static int receive(struct image_ends *x, struct err *e)
{
    struct in_head head;
    struct in_event event;
    int rc = x->in->ops->head(x->in, &head, e);

    if (!rc)
        rc = frames_init(&x->frames, FAKE_DEST, 0, ENDS_FRAMES, ENDS_FRAMES, e);
    if (!rc && x->foreign)
        x->frames.foreign[x->frames.foreign_count++] = x->foreign;
    while (!rc) {
        rc = x->in->ops->next(x->in, &event, e);
        if (!rc)
            rc = handle_event(x, &event, e);
        if (!rc && event.kind == IN_END)
            break;
    }
    return rc;
}

static void *run_receiver(void *arg)
{
    struct image_ends *x = arg;
    struct err unheard = ERR_INIT;

    receive(x, &x->in_error);
    x->arrival = (struct arrival){42, atomic_load(&x->frames.populated_pages)};
    x->in->ops->answer(x->in, &x->in_error, &x->arrival, &unheard);
    return NULL;
}

void ends_receive(struct image_ends *x)
{
    assert_int_equal(pthread_create(&x->thread, NULL, run_receiver, x), 0);
    x->receives = true;
}

void ends_join(struct image_ends *x)
{
    if (x->receives)
        pthread_join(x->thread, NULL);
    x->receives = false;
}

void ends_check_memory(const struct image_ends *x)
{
    (void)x;
    for (uint64_t pfn = 0; pfn < ENDS_FRAMES; pfn++) {
        assert_int_equal(fake_xen_populated(pfn), ends_is_hole(pfn) ? 0 : 1);
        if (!ends_is_hole(pfn))
            assert_memory_equal(
                fake_xen_page(FAKE_DEST, pfn), fake_xen_page(FAKE_SOURCE, pfn), FAKE_PAGE_BYTES);
    }
}
