/* SPDX-License-Identifier: MIT */
/* The barrier between rounds: who may write an extent, and when the next round may begin. */
#include "engine/in/barrier.h"

#include "base/deadline.h"
#include "transport/v3.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { LANES = 3, FRAMES = 100 * 512, ROUNDS = 200 };

struct fixture {
    struct extent_map map;
    struct barrier barrier;
    struct cancel cancel;
    struct err e;
};

static int set_up(void **state)
{
    static struct fixture f;

    f = (struct fixture){.e = ERR_INIT};
    assert_int_equal(cancel_init(&f.cancel, &f.e), 0);
    assert_int_equal(extent_map_init(&f.map, FRAMES, FRAMES, &f.e), 0);
    assert_int_equal(barrier_init(&f.barrier, LANES, &f.map, &f.e), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    barrier_destroy(&f->barrier);
    extent_map_destroy(&f->map);
    cancel_destroy(&f->cancel);
    return 0;
}

static int claim(struct fixture *f, unsigned lane, uint64_t crossed, uint64_t pfn)
{
    const uint64_t entries[] = {v3_entry(pfn, 0), v3_entry(pfn + 1, 0)};

    f->e = (struct err)ERR_INIT;
    return barrier_claim(&f->barrier, lane, crossed, entries, 2, &f->e);
}

static void test_an_extent_is_one_lanes_for_a_round(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(claim(f, 0, 0, 0), 0);
    assert_int_equal(claim(f, 0, 0, 100), 0);
    assert_int_equal(claim(f, 2, 0, 512), 0);
    assert_int_equal(claim(f, 1, 0, 100), -EPROTO);
    assert_int_equal(f->e.class, ERR_PEER);
    assert_non_null(strstr(f->e.text, "lane 1: frame 0x64 comes on two lanes"));
    /* In a record whose other frames are its own, too. */
    assert_int_equal(claim(f, 0, 0, 511), -EPROTO);
    assert_non_null(strstr(f->e.text, "0x200"));
    /* The next round begins anew. */
    assert_int_equal(claim(f, 1, 1, 100), 0);
    assert_int_equal(claim(f, 0, 1, 100), -EPROTO);
    assert_int_equal(claim(f, 1, 1, FRAMES - 2), 0);
}

/* ---- barriers ---- */

struct lane {
    struct fixture *f;
    unsigned index;
    pthread_t thread;
    struct err e;
    int rc;
};

static void *cross_once(void *arg)
{
    struct lane *l = arg;

    l->rc = barrier_cross(&l->f->barrier, l->index, 1, &l->f->cancel, &l->e);
    return NULL;
}

static void begin(struct fixture *f, struct lane *l, unsigned index, void *(*run)(void *))
{
    *l = (struct lane){.f = f, .index = index, .e = ERR_INIT};
    assert_int_equal(pthread_create(&l->thread, NULL, run, l), 0);
}

static void await_waiting(struct fixture *f, unsigned lanes)
{
    const int64_t limit_ns = deadline_in(20 * NS_PER_S);
    unsigned waiting;

    do {
        assert_false(deadline_passed(limit_ns));
        pthread_mutex_lock(&f->barrier.lock);
        waiting = f->barrier.waiting;
        pthread_mutex_unlock(&f->barrier.lock);
    } while (waiting < lanes);
}

static _Atomic uint64_t round_of[LANES];

/* Each looks, behind every barrier, that nobody is still before it. */
static void *cross_all(void *arg)
{
    struct lane *l = arg;

    for (uint64_t number = 1; number <= ROUNDS && !l->rc; number++) {
        round_of[l->index] = number;
        l->rc = barrier_cross(&l->f->barrier, l->index, number, &l->f->cancel, &l->e);
        for (unsigned i = 0; i < LANES && !l->rc; i++)
            if (round_of[i] < number)
                l->rc = err_set(&l->e, ERR_INTERNAL, EDOM, "lane %u is behind", i);
    }
    if (!l->rc)
        l->rc = barrier_end(&l->f->barrier, l->index, &l->e);
    return NULL;
}

static void test_no_lane_is_a_round_ahead(void **state)
{
    struct fixture *f = *state;
    struct lane lanes[LANES];

    for (unsigned i = 0; i < LANES; i++) {
        round_of[i] = 0;
        begin(f, &lanes[i], i, cross_all);
    }
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        if (lanes[i].rc)
            fail_msg("lane %u: %s", i, lanes[i].e.text);
    }
}

static void test_a_cancel_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    struct lane first;

    begin(f, &first, 0, cross_once);
    await_waiting(f, 1);
    cancel_fire(&f->cancel);
    pthread_join(first.thread, NULL);
    assert_int_equal(first.rc, -ECANCELED);
    assert_int_equal(first.e.class, ERR_CANCELLED);
}

/* Else the one would wait for the other for ever. */
static void test_lanes_end_in_the_same_round(void **state)
{
    struct fixture *f = *state;
    struct lane first, late = {.f = f, .index = 2, .e = ERR_INIT};

    begin(f, &first, 0, cross_once);
    await_waiting(f, 1);
    assert_int_equal(barrier_end(&f->barrier, 1, &f->e), -EPROTO);
    assert_non_null(strstr(f->e.text, "do not end in the same round"));
    cross_once(&late);
    assert_int_equal(late.rc, -EPROTO);
    cancel_fire(&f->cancel);
    pthread_join(first.thread, NULL);
}

static void test_barriers_come_in_order(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(barrier_cross(&f->barrier, 0, 0, &f->cancel, &f->e), -EPROTO);
    f->e = (struct err)ERR_INIT;
    assert_int_equal(barrier_cross(&f->barrier, 0, 2, &f->cancel, &f->e), -EPROTO);
    assert_non_null(strstr(f->e.text, "border 2 of the rounds, where 1 is next"));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_extent_is_one_lanes_for_a_round),
        TEST(test_no_lane_is_a_round_ahead),
        TEST(test_a_cancel_ends_the_wait),
        TEST(test_lanes_end_in_the_same_round),
        TEST(test_barriers_come_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
