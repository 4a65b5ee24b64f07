/* SPDX-License-Identifier: MIT */
/*
 * A source of dirty pages that knows nothing of writes and compares contents, through batches and
 * walks as lanes use them. Xen is replaced by what is beneath: these functions and not its own are
 * linked.
 */
#include "base/bitmap.h"
#include "dirtylog/extents.h"
#include "dirtylog/pending.h"
#include "engine/batch.h"
#include "engine/xen/foreign.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { FRAMES = 3 * EXTENT_FRAMES + 40, LANES = 2, TABLE = 7, LOAD = 256 };

/* ---- the guest, and Xen ---- */

static unsigned char memory[FRAMES][XC_PAGE_SIZE], received[FRAMES][XC_PAGE_SIZE];
static uint8_t types[FRAMES], received_types[FRAMES];
static bool absent[FRAMES];
static uint64_t unmappable = UINT64_MAX;
static _Atomic int mapped_pages;

static uint64_t frame_of(const struct guest *g, uint64_t pfn)
{
    (void)g;
    return absent[pfn] ? GUEST_NO_FRAME : pfn;
}

/* What is sent of a page table is not what stands there. */
static int canonicalise(const struct guest *g, unsigned level,
    const uint64_t src[static PTES_PER_PAGE], uint64_t dst[static PTES_PER_PAGE],
    struct pte_fault *fault)
{
    (void)g, (void)level, (void)fault;
    for (unsigned i = 0; i < PTES_PER_PAGE; i++)
        dst[i] = ~src[i];
    return 0;
}

static const struct guest_ops guest_ops = {.frame_of = frame_of, .canonicalise = canonicalise};
static const struct guest guest = {.ops = &guest_ops, .frames = FRAMES};

int hbuf_alloc(struct xen *x, struct hbuf *h, size_t bytes, struct err *e)
{
    (void)x, (void)h, (void)bytes, (void)e;
    return 0;
}

void hbuf_free(struct xen *x, struct hbuf *h)
{
    (void)x, (void)h;
}

int frame_types_read(struct xen *x, uint32_t domid, struct hbuf *scratch, const uint64_t *frames,
    unsigned count, uint8_t *out, struct err *e)
{
    (void)x, (void)domid, (void)scratch, (void)e;
    for (unsigned i = 0; i < count; i++)
        out[i] = types[frames[i]];
    return 0;
}

/* Pages side by side are the guest's own, so that it can write to what is mapped. */
void *foreign_map_some(struct xen *x, uint32_t domid, int prot, const uint64_t *frames,
    size_t count, int *errors, struct err *e)
{
    bool together = true;
    unsigned char *copy;

    (void)x, (void)domid, (void)prot, (void)e;
    mapped_pages += (int)count;
    for (size_t i = 0; i < count; i++) {
        errors[i] = frames[i] == unmappable ? -EINVAL : 0;
        together = together && frames[i] == frames[0] + i;
    }
    if (together)
        return memory[frames[0]];
    copy = malloc(count * XC_PAGE_SIZE);
    assert_non_null(copy);
    for (size_t i = 0; i < count; i++)
        memcpy(copy + i * XC_PAGE_SIZE, memory[frames[i]], XC_PAGE_SIZE);
    return copy;
}

void foreign_unmap(struct xen *x, void *mem, size_t count)
{
    (void)x;
    mapped_pages -= mem ? (int)count : 0;
    if ((unsigned char *)mem < memory[0] || (unsigned char *)mem > memory[FRAMES - 1])
        free(mem);
}

/* ---- a source that compares ---- */

struct comparer {
    struct dirty_source base;
    unsigned char (*sent)[XC_PAGE_SIZE];
    int type[FRAMES]; /* -1: nothing was sent */
    bool empty[FRAMES];
};

static int find_all(struct dirty_source *d, uint64_t *bitmap, bool final, struct err *e)
{
    (void) final, (void)e;
    bitmap_fill(bitmap, d->frames);
    return 0;
}

static int is_on(struct dirty_source *d, struct err *e)
{
    (void)d, (void)e;
    return 0;
}

static bool changed(struct dirty_source *d, uint64_t pfn, unsigned type, const void *copy)
{
    const struct comparer *c = (const struct comparer *)d;

    return c->type[pfn] != (int)type || c->empty[pfn] != !copy ||
           (copy && memcmp(c->sent[pfn], copy, XC_PAGE_SIZE));
}

static void remember(struct dirty_source *d, uint64_t pfn, unsigned type, const void *copy)
{
    struct comparer *c = (struct comparer *)d;

    c->type[pfn] = (int)type;
    c->empty[pfn] = !copy;
    if (copy)
        memcpy(c->sent[pfn], copy, XC_PAGE_SIZE);
}

static const struct dirty_ops comparer_ops = {
    .collect = find_all, .check = is_on, .changed = changed, .sent = remember};

/* ---- lanes ---- */

struct lane {
    struct frame_share *share;
    struct batch *batch;
    pthread_t thread;
    bool guest_writes; /* while the batch is on its way, and then takes it back */
    unsigned sent_pages, unchanged_pages, deferred_pages;
};

static void take(const struct batch *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        const uint64_t pfn = b->entries[i] & V3_ENTRY_PFN_MASK;

        received_types[pfn] = (uint8_t)(b->entries[i] >> V3_ENTRY_TYPE_SHIFT);
        if (b->pages[i])
            memcpy(received[pfn], b->pages[i], XC_PAGE_SIZE);
    }
}

static void *run_lane(void *arg)
{
    struct lane *l = arg;
    struct frame_walk walk = frame_walk_begin(l->share);
    uint64_t pfns[LOAD];
    unsigned n;

    while ((n = frame_walk_next(&walk, pfns, LOAD)) > 0) {
        struct err e = ERR_INIT;

        assert_int_equal(batch_load(l->batch, pfns, n, false, &e), 0);
        if (l->guest_writes)
            memory[pfns[n / 2]][99]++;
        take(l->batch);
        if (l->guest_writes)
            memory[pfns[n / 2]][99]--;
        l->sent_pages += l->batch->count;
        l->unchanged_pages += l->batch->unchanged_pages;
        l->deferred_pages += l->batch->deferred_pages;
        batch_unload(l->batch);
    }
    return NULL;
}

struct move {
    struct pending pending;
    struct comparer comparer;
    struct batch *batches[LANES];
    bool guest_writes;
    unsigned sent_pages, unchanged_pages, deferred_pages; /* of the last round */
};

static bool has_memory(const void *arg, uint64_t pfn)
{
    return frame_of(arg, pfn) != GUEST_NO_FRAME;
}

static struct move *begin(bool compare)
{
    struct move *m = calloc(1, sizeof(*m));
    struct err e = ERR_INIT;

    assert_non_null(m);
    memset(received, 0xC2, sizeof(received));
    memset(received_types, 0xff, sizeof(received_types));
    memset(types, 0, sizeof(types));
    memset(absent, 0, sizeof(absent));
    for (unsigned i = 0; i < FRAMES; i++)
        memset(memory[i], (int)i, XC_PAGE_SIZE);
    m->comparer.base = (struct dirty_source){&comparer_ops, FRAMES};
    m->comparer.sent = calloc(FRAMES, XC_PAGE_SIZE);
    assert_non_null(m->comparer.sent);
    memset(m->comparer.type, -1, sizeof(m->comparer.type));
    assert_int_equal(pending_init(&m->pending, FRAMES, has_memory, &guest, &e), 0);
    if (compare)
        pending_follow(&m->pending, &m->comparer.base);
    for (unsigned i = 0; i < LANES; i++)
        assert_int_equal(batch_create(NULL, &guest, &m->pending.notes, &m->batches[i], &e), 0);
    pending_fill(&m->pending);
    return m;
}

static void end(struct move *m)
{
    for (unsigned i = 0; i < LANES; i++)
        batch_destroy(m->batches[i]);
    pending_destroy(&m->pending);
    free(m->comparer.sent);
    free(m);
}

static void send_round(struct move *m)
{
    struct lane lanes[LANES];
    struct frame_share share;

    pending_begin_round(&m->pending, false);
    frame_share_begin(&share, m->pending.round, 0, FRAMES);
    m->sent_pages = m->unchanged_pages = m->deferred_pages = 0;
    for (unsigned i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){
            .share = &share, .batch = m->batches[i], .guest_writes = m->guest_writes};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]), 0);
    }
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        m->sent_pages += lanes[i].sent_pages;
        m->unchanged_pages += lanes[i].unchanged_pages;
        m->deferred_pages += lanes[i].deferred_pages;
    }
}

static void collect(struct move *m)
{
    struct pending_found f;
    struct err e = ERR_INIT;

    assert_int_equal(pending_collect(&m->pending, &f, &e), 0);
    assert_int_equal(f.left_pages, FRAMES);
}

/* The receiver has every page as it is. */
static void assert_moved(void)
{
    for (unsigned i = 0; i < FRAMES; i++) {
        if (absent[i])
            continue;
        assert_int_equal(received_types[i], types[i]);
        for (unsigned at = 0; at < XC_PAGE_SIZE; at++) {
            const unsigned char wanted = types[i] ? (unsigned char)~memory[i][at] : memory[i][at];

            if (received[i][at] != wanted)
                fail_msg("page %u differs at %u", i, at);
        }
    }
}

/* ---- */

/* While the guest stands still, and not without end. */
static void test_what_is_left_stays_mapped_until_the_batch_goes(void **state)
{
    (void)state;
    struct frame_notes notes;
    struct batch *b;
    struct err e = ERR_INIT;

    assert_int_equal(frame_notes_init(&notes, FRAMES, &e), 0);
    assert_int_equal(batch_create(NULL, &guest, &notes, &b, &e), 0);
    for (uint64_t pfn = 0; pfn < BATCH_MAX_LEFT + 3; pfn++) {
        const int before = mapped_pages;

        assert_int_equal(batch_load(b, &pfn, 1, true, &e), 0);
        assert_int_equal(b->count, 1);
        assert_int_equal(mapped_pages, before + 1);
        batch_leave(b);
        assert_int_equal(mapped_pages, pfn < BATCH_MAX_LEFT ? before + 1 : before);
    }
    batch_destroy(b);
    assert_int_equal(mapped_pages, 0);
    frame_notes_destroy(&notes);
}

static void test_only_pages_that_differ_are_sent_again(void **state)
{
    (void)state;
    struct move *m = begin(true);

    types[TABLE] = V3_PAGE_L1TAB;
    send_round(m);
    assert_int_equal(m->sent_pages, FRAMES);
    assert_moved();

    memory[3][4095]++;
    memory[TABLE][0]++;
    memory[FRAMES - 1][0]++;
    collect(m);
    send_round(m);
    assert_int_equal(m->sent_pages, 3);
    assert_int_equal(m->unchanged_pages, FRAMES - 3);
    assert_moved();

    collect(m);
    send_round(m);
    assert_int_equal(m->sent_pages, 0);
    end(m);
}

/* What was compared is what is sent, whatever the guest writes meanwhile: it takes it back, so that
 * nobody would find it later. */
static void test_what_is_sent_is_what_was_compared(void **state)
{
    (void)state;
    struct move *m = begin(true);

    m->guest_writes = true;
    send_round(m);
    assert_moved();
    collect(m);
    send_round(m);
    assert_int_equal(m->sent_pages, 0);
    end(m);
}

/* Where nobody compares the bitmap is trusted: all of it is sent, from where it is mapped. */
static void test_without_such_a_source_the_bitmap_is_trusted(void **state)
{
    (void)state;
    struct move *m = begin(false);

    send_round(m);
    send_round(m);
    assert_int_equal(m->sent_pages, FRAMES);
    assert_int_equal(m->unchanged_pages, 0);
    assert_moved();
    end(m);
}

static void test_the_same_bytes_of_another_type_are_another_page(void **state)
{
    (void)state;
    struct move *m = begin(true);

    send_round(m);
    types[TABLE] = V3_PAGE_L1TAB;
    for (unsigned i = 0; i < XC_PAGE_SIZE; i++)
        memory[TABLE][i] = (unsigned char)~memory[TABLE][i];
    collect(m);
    send_round(m);
    assert_int_equal(m->sent_pages, 1);
    assert_moved();
    end(m);
}

/* Ballooned out and in again with what it held: the receiver has let go of it meanwhile. */
static void test_a_page_that_was_withdrawn_is_sent_again(void **state)
{
    (void)state;
    struct move *m = begin(true);

    send_round(m);
    absent[12] = true;
    collect(m);
    send_round(m);
    assert_int_equal(m->sent_pages, 1);
    assert_int_equal(received_types[12], V3_PAGE_XTAB);
    absent[12] = false;
    collect(m);
    send_round(m);
    assert_int_equal(m->sent_pages, 1);
    assert_moved();
    end(m);
}

static void test_a_deferred_page_was_not_sent(void **state)
{
    (void)state;
    struct move *m = begin(true);

    unmappable = 600;
    send_round(m);
    unmappable = UINT64_MAX;
    assert_int_equal(m->deferred_pages, 1);
    assert_int_equal(m->sent_pages, FRAMES - 1);
    collect(m);
    send_round(m);
    assert_int_equal(m->sent_pages, 1);
    assert_moved();
    end(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_pages_that_differ_are_sent_again),
        cmocka_unit_test(test_what_is_left_stays_mapped_until_the_batch_goes),
        cmocka_unit_test(test_what_is_sent_is_what_was_compared),
        cmocka_unit_test(test_without_such_a_source_the_bitmap_is_trusted),
        cmocka_unit_test(test_the_same_bytes_of_another_type_are_another_page),
        cmocka_unit_test(test_a_page_that_was_withdrawn_is_sent_again),
        cmocka_unit_test(test_a_deferred_page_was_not_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
