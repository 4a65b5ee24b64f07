/* SPDX-License-Identifier: MIT */
/* An image on lanes, out and in: the real ends over socket pairs, and receivers that misbehave. */
#include "base/bitmap.h"
#include "tests/unit/fake_xen.h"
#include "tests/unit/image_ends.h"
#include "transport/trunk.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { LANES = 4 };

#define LIMIT_NS (20 * NS_PER_S)

struct fixture {
    struct image_ends x;
    struct err e;
    struct arrival arrival;
};

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.e = ERR_INIT};
    ends_open_lanes(&f.x, LANES);
    return 0;
}

static int set_up_with_differences(void **state)
{
    (void)state;
    f = (struct fixture){.e = ERR_INIT, .x.delta_bytes = 4 << 20};
    ends_open_lanes(&f.x, LANES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ends_close(&f.x);
    return 0;
}

static int begin(void)
{
    return f.x.out->ops->begin(f.x.out, &f.x.guest, &f.x.maps, &f.e);
}

static int commit(enum out_commit kind, int64_t limit_ns)
{
    struct out *out = f.x.out;
    const int rc = kind == COMMIT_HANDOVER ? out->ops->end(out, &f.e) : 0;

    return rc ? rc : out->ops->commit(out, kind, limit_ns, &f.arrival, &f.e);
}

static void send_head(void)
{
    assert_int_equal(begin(), 0);
    assert_int_equal(ends_state(&f.x, V3_STATIC_DATA_END, &f.e), 0);
}

static void test_an_image_arrives(void **state)
{
    (void)state;
    static const uint32_t states[] = {V3_STATIC_DATA_END, V3_HVM_CONTEXT, V3_HVM_PARAMS};

    ends_receive(&f.x);
    send_head();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    assert_int_equal(f.x.counts.done_pages, ENDS_FRAMES);
    assert_true(f.x.counts.absent_pages > 0 && f.x.counts.zero_pages > 0);
    assert_int_equal(
        f.x.counts.data_pages + f.x.counts.zero_pages + f.x.counts.absent_pages, ENDS_FRAMES);
    ends_write(&f.x, 7, 2);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    assert_int_equal(f.x.counts.done_pages, 1);
    assert_int_equal(ends_state(&f.x, V3_HVM_CONTEXT, &f.e), 0);
    assert_int_equal(ends_state(&f.x, V3_HVM_PARAMS, &f.e), 0);
    assert_int_equal(commit(COMMIT_HANDOVER, LIMIT_NS), 0);
    ends_join(&f.x);
    assert_false(err_is_set(&f.x.in_error));
    ends_check_memory(&f.x);
    assert_int_equal(f.x.page_events, 1);
    assert_int_equal(f.x.state_count, 3);
    assert_memory_equal(f.x.states, states, sizeof(states));
    assert_int_equal(f.arrival.finish_ns, 42);
    assert_int_equal(f.arrival.populated_pages, f.x.arrival.populated_pages);
}

/* Pages go on whatever lane is free: over many rounds the newest copy of each has to win. */
static void test_no_older_copy_overtakes_a_newer_one(void **state)
{
    (void)state;
    enum { ROUNDS = 12 };

    ends_receive(&f.x);
    send_head();
    ends_write_all(&f.x, 1);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        assert_int_equal(ends_round(&f.x, round == ROUNDS, &f.e), 0);
        for (uint64_t pfn = round % 3; pfn < ENDS_FRAMES && round < ROUNDS; pfn += 3)
            ends_write(&f.x, pfn, 1 + round);
    }
    assert_int_equal(commit(COMMIT_HANDOVER, LIMIT_NS), 0);
    ends_join(&f.x);
    ends_check_memory(&f.x);
}

/* Differences are to what another lane may have sent, in the round before or earlier. */
static void test_differences_are_to_what_has_arrived(void **state)
{
    (void)state;
    enum { ROUNDS = 12 };
    uint64_t deltas = 0;

    ends_receive(&f.x);
    send_head();
    ends_write_all(&f.x, 1);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        assert_int_equal(ends_round(&f.x, round == ROUNDS, &f.e), 0);
        deltas += f.x.counts.delta_pages;
        for (uint64_t pfn = round % 3; pfn < ENDS_FRAMES / 2 && round < ROUNDS;
             pfn += 1 + round % 4)
            if (pfn % 50 == round) /* altogether, and to zeros */
                ends_write(&f.x, pfn, 1 + round);
            else
                ends_write_little(&f.x, pfn, 7 * round + pfn);
    }
    assert_int_equal(commit(COMMIT_HANDOVER, LIMIT_NS), 0);
    ends_join(&f.x);
    ends_check_memory(&f.x);
    assert_in_range(deltas, 200, UINT64_MAX);
}

static void test_what_is_to_be_skipped_is_not_sent(void **state)
{
    (void)state;
    uint64_t *skip = bitmap_alloc(ENDS_FRAMES);

    ends_receive(&f.x);
    send_head();
    bitmap_fill(skip, ENDS_FRAMES);
    bitmap_clear(skip, 1000);
    bitmap_fill(f.x.bitmap, ENDS_FRAMES);

    const struct round_job job = {.bitmap = f.x.bitmap,
        .pages = ENDS_FRAMES,
        .end_frame = ENDS_FRAMES,
        .skip = skip,
        .round = 1};

    assert_int_equal(f.x.out->ops->round(f.x.out, &job, &f.x.counts, &f.e), 0);
    assert_int_equal(f.x.counts.done_pages, ENDS_FRAMES);
    assert_int_equal(f.x.counts.skipped_pages, ENDS_FRAMES - 1);
    assert_int_equal(f.x.counts.data_pages + f.x.counts.zero_pages, 1);
    ends_write_all(&f.x, 3);
    f.x.rounds = 1;
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    assert_int_equal(commit(COMMIT_HANDOVER, LIMIT_NS), 0);
    free(skip);
}

/* The wire has no word for it: it is refused, nothing was sent, and all goes on. */
static void test_a_checkpoint_is_refused(void **state)
{
    (void)state;
    struct out *out = f.x.out;

    ends_receive(&f.x);
    send_head();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);

    const uint64_t before_bytes = out->ops->wire_bytes(out);

    assert_int_equal(commit(COMMIT_CHECKPOINT, LIMIT_NS), -EOPNOTSUPP);
    assert_int_equal(f.e.class, ERR_REFUSED);
    assert_non_null(strstr(f.e.text, "checkpoint"));
    assert_int_equal(out->ops->wire_bytes(out), before_bytes);
    f.e = (struct err)ERR_INIT;
    ends_write(&f.x, 7, 2);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    assert_int_equal(commit(COMMIT_HANDOVER, LIMIT_NS), 0);
    ends_join(&f.x);
    ends_check_memory(&f.x);
}

/* Rounds until one fails; the source may have sent some before it hears of it. */
static int send_rounds_until_failure(void)
{
    int rc = 0;

    for (unsigned i = 0; i < 1000 && !rc; i++) {
        ends_write_all(&f.x, i);
        rc = ends_round(&f.x, false, &f.e);
    }
    return rc;
}

static void test_the_receivers_failure_is_the_cause(void **state)
{
    (void)state;
    fake_xen_memory(1000);
    ends_receive(&f.x);
    send_head();
    assert_int_equal(send_rounds_until_failure(), -ENOMEM);
    ends_join(&f.x);
    assert_non_null(strstr(f.x.in_error.text, "Xen has no memory for frame"));
    assert_string_equal(f.e.text, f.x.in_error.text);
    assert_int_equal(f.e.class, ERR_LOCAL);
    assert_true(cancel_is_fired(&f.x.in_cancel));
    assert_false(cancel_is_fired(&f.x.out_cancel));
}

static void test_a_lane_that_breaks_ends_all_of_them(void **state)
{
    (void)state;
    ends_receive(&f.x);
    send_head();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    channel_shutdown(f.x.out_lanes[2]);
    assert_true(send_rounds_until_failure() < 0);
    assert_int_equal(f.e.class, ERR_PEER);
    ends_join(&f.x);
    /* The source then closes the others, and the receiver may see another one's end first. Its
     * words are the ones that count. */
    assert_int_equal(f.x.in_error.class, ERR_PEER);
    assert_int_equal(strncmp(f.x.in_error.text, "lane ", 5), 0);
    assert_string_equal(f.e.text, f.x.in_error.text);
}

static void test_a_trunk_that_breaks_ends_the_lanes(void **state)
{
    (void)state;
    ends_receive(&f.x);
    send_head();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    channel_shutdown(f.x.out_trunk);
    assert_true(send_rounds_until_failure() < 0);
    assert_int_equal(f.e.class, ERR_PEER);
    ends_join(&f.x);
    assert_string_equal(f.x.in_error.text, "trunk: ended before END");
}

static void test_told_to_stop_it_stops(void **state)
{
    (void)state;
    ends_receive(&f.x);
    send_head();
    cancel_fire(&f.x.out_cancel);
    assert_int_equal(send_rounds_until_failure(), -ECANCELED);
    assert_int_equal(f.e.class, ERR_CANCELLED);
    channel_shutdown(f.x.out_trunk);
}

static void test_a_receiver_may_not_say_yes_before_it_is_asked(void **state)
{
    (void)state;
    const struct trunk_result yes = {.failure = ERR_INIT};

    send_head();
    assert_int_equal(trunk_send_result(f.x.in_trunk, &yes, &f.e), 0);
    for (unsigned i = 0; i < 1000 && !err_is_set(&f.e); i++) {
        ends_write(&f.x, 1, 1);
        if (ends_round(&f.x, false, &f.e))
            break;
        usleep(1000);
    }
    assert_int_equal(f.e.class, ERR_PEER);
    assert_int_equal(f.e.code, EPROTO);
    assert_non_null(strstr(f.e.text, "RESULT"));
}

static void test_a_receiver_that_says_nothing_is_not_waited_for_long(void **state)
{
    (void)state;
    send_head();
    ends_write(&f.x, 1, 1);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    assert_int_equal(commit(COMMIT_HANDOVER, 100 * NS_PER_MS), -ETIMEDOUT);
    assert_non_null(strstr(f.e.text, "did not say in time"));
}

static void test_a_receiver_that_goes_away_without_a_word(void **state)
{
    (void)state;
    send_head();
    ends_write(&f.x, 1, 1);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    channel_shutdown(f.x.in_trunk);
    assert_true(commit(COMMIT_HANDOVER, LIMIT_NS) < 0);
    assert_int_equal(f.e.class, ERR_PEER);
}

/* What was started is stopped, and nothing stays open (ends_close() looks). */
static void test_a_lane_that_cannot_start(void **state)
{
    (void)state;
    fake_xen_opens(LANES - 1);
    assert_int_equal(begin(), -EACCES);
    assert_string_equal(f.e.text, "no more handles");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_image_arrives),
        TEST(test_no_older_copy_overtakes_a_newer_one),
        cmocka_unit_test_setup_teardown(
            test_differences_are_to_what_has_arrived, set_up_with_differences, tear_down),
        TEST(test_what_is_to_be_skipped_is_not_sent),
        TEST(test_a_checkpoint_is_refused),
        TEST(test_the_receivers_failure_is_the_cause),
        TEST(test_a_lane_that_breaks_ends_all_of_them),
        TEST(test_a_trunk_that_breaks_ends_the_lanes),
        TEST(test_told_to_stop_it_stops),
        TEST(test_a_receiver_may_not_say_yes_before_it_is_asked),
        TEST(test_a_receiver_that_says_nothing_is_not_waited_for_long),
        TEST(test_a_receiver_that_goes_away_without_a_word),
        TEST(test_a_lane_that_cannot_start),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
