/* SPDX-License-Identifier: MIT */
/* The round loop, driven through ops that write down what is called and in which order. */
#include "base/deadline.h"
#include "sched/precopy.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define MS NS_PER_MS

enum { MOST_CALLS = 4000, MOST_ROUNDS = 40, PAGES = 100000 };

/*
 * A guest and a link. Calls: C cpu, S send, P peek, W wait, L clean after a round, F and N clean
 * for the first and the next sample, K cap, D decided, V may_suspend, T limits.
 */
struct fake {
    struct precopy p;
    double dirties_per_s; /* pages, until all of its working set is dirty */
    double working_set;
    double link_per_s; /* pages */
    double left, kept, dirty;
    double used; /* of one processor */
    int64_t now_ns, ran_ns, cpu_ns;
    int64_t clean_ns, peek_ns; /* what they take */
    int64_t late_ns;           /* from the log's clearing to the end of clean */
    int64_t calm_from_ns;      /* it writes nothing any more; 0: never */
    double zero_share;         /* of the pages of the first round */
    uint64_t deferred_pages, stuck_pages;
    bool peeks_fail;
    char fails;        /* this call does, */
    unsigned fails_at; /* when it comes for so many times, from 1 */
    unsigned calls_of[128];
    char calls[MOST_CALLS + 1];
    unsigned call_count;
    struct round_plan plans[MOST_ROUNDS];
    unsigned rounds, cap_percent;
    unsigned unready; /* so often it may not be suspended yet */
    int64_t least_wait_ns, most_wait_ns;
};

static int note(struct fake *f, char call, struct err *e)
{
    assert_true(f->call_count < MOST_CALLS);
    f->calls[f->call_count++] = call;
    if (++f->calls_of[(unsigned char)call] == f->fails_at && call == f->fails)
        return err_set(e, ERR_CANCELLED, ECANCELED, "stopped at %c", call);
    return 0;
}

/* Time passes, and the guest writes. */
static void run_until(struct fake *f, int64_t at_ns)
{
    const double used = f->cap_percent ? fmin(f->used, f->cap_percent / 100.0) : f->used;
    const double share = used / f->used;

    if (at_ns <= f->now_ns)
        return;
    if (!f->calm_from_ns || f->now_ns < f->calm_from_ns)
        f->dirty = fmin(f->working_set,
            f->dirty + f->dirties_per_s * share * (double)(at_ns - f->now_ns) / 1e9);
    f->cpu_ns += (int64_t)((double)(at_ns - f->now_ns) * used);
    f->now_ns = at_ns;
}

static struct round_stats sent(const struct fake *f, double pages)
{
    const double zero = f->rounds > 1 ? 0 : pages * f->zero_share;

    return (struct round_stats){
        .data_pages = (uint64_t)(pages - zero),
        .zero_pages = (uint64_t)zero,
        .wire_bytes = (uint64_t)((pages - zero) * 4096),
        .kept_pages = (uint64_t)f->kept,
    };
}

static int fake_send(
    void *arg, const struct round_plan *plan, struct round_stats *stats, struct err *e)
{
    struct fake *f = arg;
    const int64_t from_ns = f->now_ns;
    const int rc = note(f, 'S', e);

    assert_true(f->rounds < MOST_ROUNDS);
    f->plans[f->rounds++] = *plan;
    if (rc)
        return rc;
    f->kept = plan->keep_repeats ? f->left : 0;
    f->left -= f->kept;

    const int64_t span_ns = (int64_t)(f->left / f->link_per_s * 1e9);

    for (int64_t ns = PRECOPY_POLL_NS; ns < span_ns; ns += PRECOPY_POLL_NS) {
        const struct round_stats so_far = sent(f, f->left * (double)ns / (double)span_ns);

        run_until(f, from_ns + ns);
        precopy_poll(&f->p, &so_far);
    }
    run_until(f, from_ns + span_ns);
    *stats = sent(f, f->left);
    stats->deferred_pages = f->deferred_pages;
    stats->stuck_pages = f->stuck_pages;
    return 0;
}

static int fake_clean(void *arg, enum clean_after after, struct clean_stats *stats, struct err *e)
{
    struct fake *f = arg;
    const int rc = note(f,
        after == CLEAN_AFTER_ROUND    ? 'L'
        : after == CLEAN_FIRST_SAMPLE ? 'F'
                                      : 'N',
        e);

    if (rc)
        return rc;
    f->now_ns += f->clean_ns;
    stats->cleared_ns = f->now_ns;
    stats->dirty_pages = (uint64_t)f->dirty;
    /* What is left of a working set it writes to again. */
    f->left = fmax(after == CLEAN_AFTER_ROUND ? f->kept : f->left, f->dirty);
    stats->left_pages = (uint64_t)f->left;
    f->dirty = 0;
    run_until(f, f->now_ns + f->late_ns);
    return 0;
}

static bool fake_peek(void *arg, uint64_t *dirty_pages)
{
    struct fake *f = arg;

    note(f, 'P', NULL);
    f->now_ns += f->peek_ns;
    *dirty_pages = (uint64_t)f->dirty;
    return !f->peeks_fail;
}

static int fake_wait(void *arg, int64_t until_ns, struct err *e)
{
    struct fake *f = arg;
    const int64_t span_ns = until_ns - f->now_ns;

    if (span_ns > f->most_wait_ns)
        f->most_wait_ns = span_ns;
    if (!f->least_wait_ns || span_ns < f->least_wait_ns)
        f->least_wait_ns = span_ns;
    run_until(f, until_ns);
    return note(f, 'W', e);
}

static int fake_cap(void *arg, unsigned percent, struct err *e)
{
    struct fake *f = arg;

    f->cap_percent = percent;
    return note(f, 'K', e);
}

static int fake_cpu(void *arg, uint64_t *cpu_ns, struct err *e)
{
    struct fake *f = arg;

    *cpu_ns = (uint64_t)f->cpu_ns;
    return note(f, 'C', e);
}

static void fake_decided(void *arg, const struct precopy *p)
{
    assert_ptr_equal(p, &((struct fake *)arg)->p);
    note(arg, 'D', NULL);
}

static int64_t fake_now(void *arg)
{
    return ((const struct fake *)arg)->now_ns;
}

/* Something else has to be ready. */
static int fake_may_suspend(void *arg, bool *may, struct err *e)
{
    struct fake *f = arg;

    *may = !f->unready;
    if (f->unready) {
        f->unready--;
        run_until(f, f->now_ns + 200 * MS);
    }
    return note(f, 'V', e);
}

/* Somebody has less patience from the third decision on. */
static void fake_limits(void *arg, struct decide_limits *limits)
{
    struct fake *f = arg;

    note(f, 'T', NULL);
    if (f->calls_of['T'] == 3)
        limits->on_stall = ON_STALL_ABORT;
}

static const struct precopy_ops ops = {
    .send = fake_send,
    .clean = fake_clean,
    .peek = fake_peek,
    .wait = fake_wait,
    .cap = fake_cap,
    .cpu = fake_cpu,
    .decided = fake_decided,
    .now = fake_now,
};

/* 50,000 pages/s; 80 ms of the pause are not pages. */
static struct fake guest(double dirties_per_s, double working_set)
{
    return (struct fake){
        .p = {.ops = &ops,
            .limits = {.max_downtime_ns = 300 * MS},
            .costs = {.suspend_ns = 40 * MS, .state_ns = 5 * MS, .receiver_ns = 35 * MS}},
        .dirties_per_s = dirties_per_s,
        .working_set = working_set,
        .link_per_s = 50000,
        .left = PAGES,
        .used = 1,
        .clean_ns = MS,
        .peek_ns = MS,
    };
}

static int run(struct fake *f, struct err *e)
{
    f->p.arg = f;
    f->p.begun_ns = f->p.logged_ns = f->now_ns;
    return precopy_run(&f->p, e);
}

static void run_well(struct fake *f)
{
    struct err e = ERR_INIT;

    assert_int_equal(run(f, &e), 0);
    assert_false(err_is_set(&e));
}

/* The calls with PEEKs and repetitions of a call left out. */
static const char *gist(const struct fake *f)
{
    static char out[MOST_CALLS + 1];
    unsigned n = 0;

    for (const char *c = f->calls; *c; c++)
        if (*c != 'P' && (!n || out[n - 1] != *c))
            out[n++] = *c;
    out[n] = 0;
    return out;
}

/* ---- */

static void test_an_idle_guest_is_sent_once(void **state)
{
    (void)state;
    struct fake f = guest(10, 100);

    run_well(&f);
    assert_int_equal(f.p.decision.action, ACT_SUSPEND);
    assert_string_equal(gist(&f), "CSCLD");
    assert_int_equal(f.p.stats.rounds, 1);
    assert_false(f.plans[0].keep_repeats);
    assert_true(f.plans[0].skip_redirtied);
    assert_in_range((uint64_t)f.p.stats.send_pages_per_s, 49000, 51000);
    assert_in_range((uint64_t)f.p.stats.last.cpu_percent, 99, 101);
    assert_int_equal(f.cap_percent, 0);
}

/* What the guest writes meanwhile goes into further rounds, so the pause gets no longer. */
static void test_a_suspend_that_has_to_wait_costs_rounds(void **state)
{
    (void)state;
    struct precopy_ops waiting = ops;
    struct fake f = guest(200, 5000);

    waiting.may_suspend = fake_may_suspend;
    f.p.ops = &waiting;
    f.unready = 2;
    run_well(&f);
    assert_int_equal(f.p.decision.action, ACT_SUSPEND);
    assert_string_equal(gist(&f), "CSCLDVSCLDVSCLDV");
    assert_int_equal(f.p.stats.rounds, 3);
    assert_true(f.left < 400);

    f = guest(200, 5000);
    f.p.ops = &waiting;
    f.unready = 2;
    f.fails = 'V';
    f.fails_at = 2;

    struct err e = ERR_INIT;

    assert_int_equal(run(&f, &e), -ECANCELED);
    assert_string_equal(gist(&f), "CSCLDVSCLDV");
}

static void test_rounds_follow_while_they_shorten_the_pause(void **state)
{
    (void)state;
    struct fake f = guest(25000, PAGES);

    run_well(&f);
    assert_int_equal(f.p.decision.action, ACT_SUSPEND);
    assert_int_equal(f.p.decision.reason, REASON_DOWNTIME);
    assert_string_equal(gist(&f), "CSCLDSCLDSCLDSCLD");
}

/* The curve has points in between, and the guest is not paused for more than 2 % of its time. */
static void test_peeks_are_paced_by_what_they_cost(void **state)
{
    (void)state;
    struct fake f = guest(10000, PAGES);

    run_well(&f);
    /* 2 s, and one of 1 ms in 50 ms: that it was on the way, 4 MiB, is so in 21 ms. */
    assert_in_range(f.calls_of['P'], 20, 50);
    assert_true(f.p.stats.curve_count > 2);

    f = guest(10000, PAGES);
    f.peek_ns = 20 * MS; /* one a second */
    run_well(&f);
    assert_in_range(f.calls_of['P'], 2, 4);

    f = guest(10000, PAGES);
    f.link_per_s = 5000; /* 4 MiB take 205 ms: at every fifth poll */
    run_well(&f);
    assert_in_range(f.calls_of['P'], 100, f.now_ns / (250 * MS));
}

static void test_a_log_that_cannot_peek_is_enough(void **state)
{
    (void)state;
    static const struct precopy_ops blind = {
        .send = fake_send,
        .clean = fake_clean,
        .wait = fake_wait,
        .cap = fake_cap,
        .cpu = fake_cpu,
        .decided = fake_decided,
        .now = fake_now,
    };
    struct fake f = guest(25000, PAGES);

    f.p.ops = &blind;
    run_well(&f);
    assert_int_equal(f.p.decision.reason, REASON_DOWNTIME);
    assert_int_equal(f.calls_of['P'], 0);
    assert_string_equal(gist(&f), "CSCLDSCLDSCLDSCLD");

    /* Where a slow round waits for PEEKs, too. */
    f = guest(100000, PAGES);
    f.p.ops = &blind;
    f.p.limits.on_stall = ON_STALL_THROTTLE;
    run_well(&f);
    assert_true(f.cap_percent > 0);
    assert_int_equal(f.calls_of['P'], 0);
}

static void test_a_peek_that_fails_changes_nothing(void **state)
{
    (void)state;
    struct fake f = guest(25000, PAGES);

    f.peeks_fail = true;
    run_well(&f);
    assert_int_equal(f.p.decision.reason, REASON_DOWNTIME);
    assert_true(f.calls_of['P'] > 10);
    assert_string_equal(gist(&f), "CSCLDSCLDSCLDSCLD");
}

static void test_a_guest_that_does_not_converge_is_observed(void **state)
{
    (void)state;
    struct fake f = guest(1e6, 30000);

    run_well(&f);
    assert_int_equal(f.p.decision.action, ACT_SUSPEND);
    assert_int_equal(f.p.decision.reason, REASON_MINIMUM);
    assert_true(f.p.stats.observations > 0);

    /* Each sample: wait, cpu, clean. Decided once after them all. */
    const char *first = strchr(f.calls, 'F');

    assert_non_null(first);
    assert_memory_equal(first - 3, "DWC", 3);
    assert_memory_equal(first + 1, "WCNWCN", 6);
    assert_non_null(strstr(f.calls, "NDS"));
    assert_int_equal(f.calls_of['D'], f.p.stats.rounds + f.p.stats.observations);
    assert_in_range(f.most_wait_ns, 99 * MS, 101 * MS);
    assert_int_equal(f.calls_of['K'], 0);
}

/* All of it is rewritten all the time: not sent in vain in the round after. */
static void test_repeats_are_kept_after_an_observation(void **state)
{
    (void)state;
    struct fake f = guest(1e6, 30000);
    unsigned kept = 0;

    run_well(&f);
    for (unsigned i = 0; i < f.rounds; i++)
        kept += f.plans[i].keep_repeats;
    assert_int_equal(kept, 1);
    assert_int_equal(f.p.stats.least_left_pages, 30000);

    /* Pages that are stuck have to be looked at, whatever else was decided. */
    f = guest(1e6, 30000);
    f.stuck_pages = 1;
    run_well(&f);
    assert_true(f.plans[0].skip_redirtied);
    for (unsigned i = 1; i < f.rounds; i++)
        assert_false(f.plans[i].keep_repeats || f.plans[i].skip_redirtied);
}

static void test_a_guest_that_becomes_calm_is_suspended_then(void **state)
{
    (void)state;
    struct fake f = guest(1e6, 30000);

    f.calm_from_ns = 3500 * MS;
    run_well(&f);
    assert_int_equal(f.p.decision.reason, REASON_DOWNTIME);
    assert_true(f.calls_of['F'] == 1);
    assert_non_null(strstr(f.calls, "DS")); /* what is left has to be sent first */
    assert_int_equal(f.p.stats.last.dirty_pages, 0);
}

static void test_it_gives_up_when_told_to(void **state)
{
    (void)state;
    struct fake f = guest(1e6, 30000);

    f.p.limits.on_stall = ON_STALL_ABORT;
    run_well(&f);
    assert_int_equal(f.p.decision.action, ACT_GIVE_UP);
    assert_int_equal(f.calls[f.call_count - 1], 'D');

    f = guest(25000, PAGES);
    f.p.limits.max_rounds = 1;
    run_well(&f);
    assert_int_equal(f.p.decision.reason, REASON_ROUNDS);
    assert_string_equal(gist(&f), "CSCLD");
}

static void test_limits_may_change_before_each_decision(void **state)
{
    (void)state;
    struct precopy_ops tuned = ops;
    struct fake f = guest(1e6, 30000);

    tuned.limits = fake_limits;
    f.p.ops = &tuned;
    run_well(&f);
    assert_int_equal(f.p.decision.action, ACT_GIVE_UP);
    assert_true(f.calls_of['T'] >= 3);
    assert_int_equal(f.calls_of['T'], f.calls_of['L'] + f.calls_of['F'] + f.calls_of['N']);
    assert_non_null(strstr(f.calls, "LTD"));
}

/* The cap comes between the decision and the round, which lasts long enough to show it. */
static void test_a_guest_is_slowed_down_step_by_step(void **state)
{
    (void)state;
    struct fake f = guest(100000, PAGES);

    f.p.limits.on_stall = ON_STALL_THROTTLE;
    run_well(&f);
    assert_int_equal(f.p.decision.action, ACT_SUSPEND);
    assert_int_equal(f.p.decision.reason, REASON_DOWNTIME);
    assert_true(f.calls_of['K'] > 0);
    assert_int_equal(f.cap_percent, f.p.stats.slowed.cap_percent);
    assert_in_range(f.cap_percent, 5, 50);
    for (const char *k = strchr(f.calls, 'K'); k; k = strchr(k + 1, 'K'))
        assert_true(k[-1] == 'D' && k[1] == 'S');

    /* A link on which a round is over at once: it is filled, in steps, with PEEKs. */
    f = guest(4e6, 60000);
    f.link_per_s = 1e6;
    f.p.limits.max_downtime_ns = 100 * MS;
    f.p.limits.on_stall = ON_STALL_THROTTLE;
    run_well(&f);
    assert_true(f.calls_of['K'] > 0);

    const char *filled = strstr(strchr(f.calls, 'K'), "WPW");

    assert_non_null(filled);
    assert_true(f.least_wait_ns > 0 && f.least_wait_ns <= 50 * MS);
}

static void test_what_cannot_be_done_ends_it(void **state)
{
    (void)state;
    static const struct {
        char call;
        unsigned at;
    } cases[] = {{'C', 1}, {'C', 2}, {'C', 9}, {'S', 1}, {'S', 3}, {'L', 1}, {'L', 2}, {'W', 1},
        {'W', 3}, {'F', 1}, {'N', 2}, {'K', 1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake f = guest(1e5, PAGES);
        struct err e = ERR_INIT;
        char text[16];

        f.p.limits.on_stall = ON_STALL_THROTTLE;
        f.fails = cases[i].call;
        f.fails_at = cases[i].at;
        assert_int_equal(run(&f, &e), -ECANCELED);
        assert_int_equal(e.class, ERR_CANCELLED);
        snprintf(text, sizeof(text), "stopped at %c", cases[i].call);
        assert_string_equal(e.text, text);
        /* And nothing is called after it. */
        assert_int_equal(f.calls[f.call_count - 1], cases[i].call);
        assert_int_equal(f.calls_of[(unsigned char)cases[i].call], cases[i].at);
    }
}

static void test_marks_of_the_first_round_count_for_less(void **state)
{
    (void)state;
    struct fake f = guest(0, PAGES);

    f.zero_share = 0.5; /* (0.5 + 0.5 / 8) of 50,000 */
    run_well(&f);
    assert_in_range((uint64_t)f.p.stats.send_pages_per_s, 27500, 28700);
}

/* The window ends where the log begins anew, not when the bitmap is sorted. */
static void test_windows_are_from_clean_to_clean(void **state)
{
    (void)state;
    struct fake f = guest(0, PAGES);

    f.late_ns = 500 * MS;
    f.p.limits.max_rounds = 1;
    f.deferred_pages = 7;
    run_well(&f);
    assert_int_equal(f.p.stats.last.clean_ns, MS);
    assert_in_range(f.p.stats.last.window_ns, 2001 * MS, 2045 * MS); /* with the PEEKs */
    assert_int_equal(f.p.stats.last.elapsed_ns, f.p.stats.last.window_ns);
    assert_int_equal(f.p.stats.last.left_pages, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_guest_is_sent_once),
        cmocka_unit_test(test_a_suspend_that_has_to_wait_costs_rounds),
        cmocka_unit_test(test_rounds_follow_while_they_shorten_the_pause),
        cmocka_unit_test(test_peeks_are_paced_by_what_they_cost),
        cmocka_unit_test(test_a_log_that_cannot_peek_is_enough),
        cmocka_unit_test(test_a_peek_that_fails_changes_nothing),
        cmocka_unit_test(test_a_guest_that_does_not_converge_is_observed),
        cmocka_unit_test(test_repeats_are_kept_after_an_observation),
        cmocka_unit_test(test_a_guest_that_becomes_calm_is_suspended_then),
        cmocka_unit_test(test_it_gives_up_when_told_to),
        cmocka_unit_test(test_limits_may_change_before_each_decision),
        cmocka_unit_test(test_a_guest_is_slowed_down_step_by_step),
        cmocka_unit_test(test_what_cannot_be_done_ends_it),
        cmocka_unit_test(test_marks_of_the_first_round_count_for_less),
        cmocka_unit_test(test_windows_are_from_clean_to_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
