/* SPDX-License-Identifier: MIT */
/* What is decided after a round, as tables of numbers. */
#include "base/deadline.h"
#include "sched/decide.h"
#include "sched/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define MS NS_PER_MS

/* A guest on a link of 100,000 pages/s with 80 ms of fixed costs and a limit of 300 ms. */
struct given {
    unsigned rounds;
    uint64_t left, dirty;
    int64_t window_ns;
    bool full; /* the working set: a longer window finds no more */
    unsigned stalled_rounds;
    struct decide_limits limits;
    struct decide_costs costs;
    double speed;
    double cpu_percent;
    unsigned cap_percent; /* the guest was capped at that before the newest round; 0: it was not */
};

static struct given ordinary(void)
{
    return (struct given){
        .rounds = 2,
        .left = 10000,
        .dirty = 10000,
        .window_ns = NS_PER_S,
        .limits = {.max_downtime_ns = 300 * MS, .max_rounds = 30},
        .costs = {.suspend_ns = 30 * MS, .state_ns = 10 * MS, .receiver_ns = 30 * MS},
        .speed = 100000,
    };
}

static struct stats see(const struct given *g)
{
    struct stats s = {0};
    const struct stats_round r = {.elapsed_ns = g->rounds * NS_PER_S,
        .window_ns = g->window_ns,
        .clean_ns = 10 * MS,
        .sent_pages = 100000,
        .wire_bytes = 100000ull * 4096,
        .dirty_pages = g->dirty,
        .left_pages = g->left,
        .cpu_percent = g->cpu_percent};

    for (unsigned i = 0; i < g->rounds; i++) {
        if (g->speed > 0)
            stats_add_speed(&s, (uint64_t)(g->speed / 5), 0, 200 * MS);
        if (g->full)
            for (int64_t at_ns = MS; at_ns < g->window_ns; at_ns *= 2)
                stats_add_peek(&s, at_ns, g->dirty);
        if (g->cap_percent && i == g->rounds - 1) {
            s.last.cpu_percent = 2 * g->cap_percent;
            stats_slow_down(&s, g->cap_percent);
            stats_add_peek(&s, g->window_ns / 10, g->dirty / 10);
        }
        stats_add_round(&s, &r);
    }
    s.stalled_rounds = g->stalled_rounds;
    return s;
}

static struct decision outcome(struct given g)
{
    const struct stats s = see(&g);

    return decide(&s, &g.limits, &g.costs);
}

static void assert_decided(struct given g, enum action action, enum reason reason)
{
    const struct decision d = outcome(g);

    assert_string_equal(reason_name(d.reason), reason_name(reason));
    assert_string_equal(action_name(d.action), action_name(action));
}

static void test_downtime_is_the_sum_of_its_parts(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.full = true; /* so nothing new is dirtied while it is being suspended */
    const struct decision d = outcome(g);

    assert_int_equal(d.now.pages_ns, 100 * MS);
    assert_int_equal(d.now.whole_ns, 180 * MS);
    assert_true(d.now.low_ns < 170 * MS && d.now.high_ns > 190 * MS);
    assert_int_equal(d.action, ACT_SUSPEND);
    assert_int_equal(d.reason, REASON_DOWNTIME);
}

static void test_pages_dirtied_during_the_suspend_count(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.dirty = 100000; /* a second: 3000 more while it is being suspended */
    assert_int_equal(outcome(g).now.pages, 13000);
    assert_int_equal(outcome(g).now.whole_ns, 210 * MS);
}

static void test_goes_on_while_rounds_shorten_the_pause(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = g.dirty = 50000;
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
    assert_true(outcome(g).next.whole_ns < outcome(g).now.whole_ns);
}

static void test_rounds_that_were_in_vain_are_not_believed_again(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = g.dirty = 50000;
    struct stats s = see(&g);

    s.vain_rounds = 5;
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_SHORTER);
    s.vain_rounds = 6;
    assert_true(decide(&s, &g.limits, &g.costs).stalled);
}

/* 400 ms more than the pause has room for. */
static void test_rounds_that_gain_too_little_do_not_help(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = 60000;
    g.dirty = 80000; /* in 612 ms: 110 ms less */
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
    g.dirty = 90000; /* 50 ms less */
    assert_true(outcome(g).stalled);
    g.rounds = 1; /* of how many are sent in vain nothing is known yet */
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
    g.rounds = 2;
    g.left = 23000; /* 40 ms more */
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
}

/* Four times as much as the pause has room for: a sixth less with each round gets there in ten. */
static void test_a_guest_a_little_slower_than_the_link_is_followed(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = 88000;
    g.dirty = 85000;
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
    g.dirty = 95000; /* in thirty */
    assert_true(outcome(g).stalled);
}

/* A guest that writes to pages before their turn makes the round shorter. */
static void test_a_round_takes_as_long_as_what_it_sends(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = g.dirty = 60000;

    struct stats s = see(&g);
    const int64_t whole_ns = decide(&s, &g.limits, &g.costs).next.pages_ns;

    s.skipped_share = 0.5;
    assert_true((double)decide(&s, &g.limits, &g.costs).next.pages_ns < 0.55 * (double)whole_ns);
}

/* Within the limit, but the upper end of the prediction is not. */
static void test_close_to_the_limit_it_makes_sure(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = 21000;
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
    g.limits.max_rounds = 2;
    assert_decided(g, ACT_SUSPEND, REASON_DOWNTIME);
    g.limits.max_rounds = 30;
    g.dirty = 21000;
    g.full = true; /* no round would help */
    assert_decided(g, ACT_SUSPEND, REASON_DOWNTIME);
}

/* More is left than has been: one more look, but only one. */
/* What is decided where all rounds so far shortened the pause. */
static enum action decide_in_good_time(const struct given *g, char words[DECISION_WORDS_BYTES])
{
    struct stats s = see(g);

    s.vain_rounds = 0;

    const struct decision d = decide(&s, &g->limits, &g->costs);

    decision_words(&s, &g->limits, &d, words);
    return d.action;
}

/* 100 ms of pages, and about 10 after a round of 112 ms. */
static void test_a_round_that_costs_little_is_made_within_the_limit(void **state)
{
    (void)state;
    struct given g = ordinary();
    char words[DECISION_WORDS_BYTES];

    assert_int_equal(decide_in_good_time(&g, words), ACT_ROUND);
    assert_non_null(strstr(words, "within the 300 ms asked; a short round should make it"));
    g.left = 500; /* a small part already */
    assert_int_equal(decide_in_good_time(&g, words), ACT_SUSPEND);
    g = ordinary();
    g.speed = 40000; /* longer than a tenth of the time so far */
    g.limits.max_downtime_ns = NS_PER_S;
    assert_int_equal(decide_in_good_time(&g, words), ACT_SUSPEND);
    g = ordinary();
    g.dirty = 60000; /* leaves more than half */
    assert_int_equal(decide_in_good_time(&g, words), ACT_SUSPEND);
    g = ordinary();
    g.limits.max_rounds = 2;
    assert_int_equal(decide_in_good_time(&g, words), ACT_SUSPEND);
    /* The one before gained nothing. */
    assert_decided(ordinary(), ACT_SUSPEND, REASON_DOWNTIME);
}

static void test_away_from_the_minimum_it_looks_once_more(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = g.dirty = 32768;
    g.full = true;
    g.speed = 30000;
    g.stalled_rounds = DECIDE_PATIENCE - 1;

    struct stats s = see(&g);

    s.least_left_pages = 30000;
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_PATIENCE);
    s.stalled_rounds = DECIDE_PATIENCE;
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_MINIMUM);
}

/* 60,000 pages/s over 32,768 pages at 30,000 pages/s: the pause will be 1.1 s, and is said. */
static void test_a_guest_that_never_stops_ends_within_three_rounds(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = g.dirty = 32768;
    g.full = true;
    g.speed = 30000;
    assert_decided(g, ACT_OBSERVE, REASON_PATIENCE);
    assert_true(outcome(g).stalled);
    assert_int_equal(outcome(g).sample_ns, 500 * MS); /* 50 times the 10 ms of a CLEAN */
    for (g.stalled_rounds = 1; g.stalled_rounds < DECIDE_PATIENCE - 1; g.stalled_rounds++) {
        assert_decided(g, ACT_ROUND, REASON_PATIENCE);
        assert_true(outcome(g).stalled);
        assert_int_equal(outcome(g).stall_left, DECIDE_PATIENCE - g.stalled_rounds);
    }
    assert_decided(g, ACT_SUSPEND, REASON_MINIMUM);
    g.stalled_rounds = DECIDE_PATIENCE;
    assert_in_range(outcome(g).now.whole_ns, 1150 * MS, 1200 * MS);
    g.limits.on_stall = ON_STALL_ABORT;
    assert_decided(g, ACT_GIVE_UP, REASON_MINIMUM);
}

static struct given stalled(void)
{
    struct given g = ordinary();

    g.left = g.dirty = 32768;
    g.full = true;
    g.speed = 30000;
    return g;
}

/* Observed since 2 s, in samples of 500 ms that find so much and leave so much. */
static struct stats observe(const struct given *g, unsigned samples, uint64_t dirty, uint64_t left)
{
    struct stats s = see(g);

    stats_note_stall(&s, true);
    for (unsigned i = 1; i <= samples; i++)
        stats_add_sample(
            &s, &(struct stats_sample){.elapsed_ns = (int64_t)g->rounds * NS_PER_S + i * 510 * MS,
                    .window_ns = 510 * MS,
                    .clean_ns = 10 * MS,
                    .dirty_pages = dirty,
                    .left_pages = left});
    return s;
}

static void test_a_guest_is_observed_until_it_is_calm(void **state)
{
    (void)state;
    const struct given g = stalled();
    struct stats s = observe(&g, 1, 15000, 32768);

    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_OBSERVE);
    s = observe(&g, 1, 7000, 32768); /* in a round of 1.1 s clearly less */
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_SHORTER);
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_ROUND);
    s.vain_rounds = 100; /* they say nothing about a guest that has changed */
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_SHORTER);
}

/* Once it writes to nothing new, for 5 s; then a round follows that sends what has become idle. */
static void test_a_guest_is_not_observed_for_ever(void **state)
{
    (void)state;
    const struct given g = stalled();
    struct stats s = observe(&g, 8, 30000, 32768);

    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_OBSERVE);
    assert_int_equal(decide(&s, &g.limits, &g.costs).observe_left_ns, 5 * NS_PER_S - 8 * 510 * MS);
    s = observe(&g, 9, 30000, 32768);

    const struct decision d = decide(&s, &g.limits, &g.costs);

    assert_int_equal(d.action, ACT_ROUND);
    assert_int_equal(d.reason, REASON_PATIENCE);
    assert_true(d.stalled && d.keep_repeats);
    assert_int_equal(d.stall_left, DECIDE_PATIENCE);
}

/* For half as long as all that went before: 4 s. */
static void test_a_guest_that_writes_to_more_is_observed_for_less(void **state)
{
    (void)state;
    struct given g = stalled();

    g.rounds = 4;

    struct stats s = observe(&g, 2, 30000, 34000);

    s.sample_new_pages = 600; /* in 5 s nearly 6000, a sixth more */
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_OBSERVE);
    s = observe(&g, 3, 30000, 34000);
    s.sample_new_pages = 600;
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_ROUND);
    s.sample_new_pages = 400;
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_OBSERVE);
}

/* Calm is less than before the observation, not less than what that itself has made more. */
static void test_a_guest_that_writes_to_more_is_not_calm(void **state)
{
    (void)state;
    const struct given g = stalled();
    struct stats s = observe(&g, 1, 30000, 60000);

    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_OBSERVE);
    s.observed_from_pages = 60000;
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_SHORTER);
}

static void test_after_an_observation_that_left_more_a_round_less_follows(void **state)
{
    (void)state;
    const struct given g = stalled();
    struct stats s = see(&g);

    s.least_left_pages = 20000; /* or one less is enough anyway */
    s.stalled_rounds = DECIDE_PATIENCE - 1;
    s.observations = 1;
    s.observed_from_pages = 30000;
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_ROUND);
    s.observed_from_pages = 20000;
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_MINIMUM);
    s.stalled_rounds--;
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_ROUND);
}

static void test_a_guest_is_not_observed_again_and_again(void **state)
{
    (void)state;
    const struct given g = stalled();
    struct stats s = see(&g);

    s.observed_ns = 9 * NS_PER_S;
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_OBSERVE);
    s.observed_ns = 10 * NS_PER_S;
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_ROUND);
    s.observed_ns = NS_PER_S;
    s.observations = 3;
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_ROUND);
}

static void test_a_guest_is_not_observed_while_much_more_is_left(void **state)
{
    (void)state;
    const struct given g = stalled();
    struct stats s = observe(&g, 1, 30000, 65000);

    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_OBSERVE);
    s = observe(&g, 1, 40000, 66000); /* twice as much */

    const struct decision d = decide(&s, &g.limits, &g.costs);

    assert_int_equal(d.action, ACT_ROUND);
    assert_false(d.keep_repeats);
}

static void test_a_guest_is_not_observed_at_the_price_of_a_limit(void **state)
{
    (void)state;
    struct given g = stalled();

    g.limits.max_time_ns = 9 * NS_PER_S; /* 2 s so far, 2 s of observing, twice 2.3 s afterwards */
    assert_decided(g, ACT_OBSERVE, REASON_PATIENCE);
    g.limits.max_time_ns = 8 * NS_PER_S;
    assert_decided(g, ACT_ROUND, REASON_PATIENCE);
    g.limits.max_time_ns = 0;
    g.limits.max_bytes = 332000ull * 4096; /* 200,000 sent, 32,768 left */
    assert_decided(g, ACT_OBSERVE, REASON_PATIENCE);
    g.limits.max_bytes = 330000ull * 4096;
    assert_decided(g, ACT_ROUND, REASON_PATIENCE);
}

/* So it is after a round that kept most of them for the end. */
static void test_a_pause_counts_kept_pages_once(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.dirty = 1000; /* in 100 ms: 300 while it is being suspended */
    g.window_ns = 100 * MS;

    struct stats s = see(&g);

    assert_int_equal(decide(&s, &g.limits, &g.costs).now.pages, 10300);
    s.last.kept_pages = 9900; /* of those found a tenth is new */
    assert_int_equal(decide(&s, &g.limits, &g.costs).now.pages, 10030);
}

/* What it writes to meanwhile is left already, but for what the sample found for the first time. */
static void test_a_pause_after_an_observation_counts_pages_once(void **state)
{
    (void)state;
    const struct given g = stalled();
    struct stats s = observe(&g, 2, 30000, 32768);

    assert_int_equal(decide(&s, &g.limits, &g.costs).now.pages, 32768);
    s.sample_new_pages = 1700; /* in 510 ms; the suspend takes 30 ms */
    assert_int_equal(decide(&s, &g.limits, &g.costs).now.pages, 32868);
}

static void test_out_of_patience_a_round_must_lead_to_the_goal(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.stalled_rounds = DECIDE_PATIENCE;
    g.left = 100000;
    g.dirty = 80000; /* next: 81,000, less but far from enough */
    assert_decided(g, ACT_SUSPEND, REASON_MINIMUM);
    g.dirty = 5000; /* next: within the limit */
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
}

static void test_limits_end_it(void **state)
{
    (void)state;
    static const struct {
        struct decide_limits limits;
        enum reason reason;
    } cases[] = {
        {{.max_rounds = 2}, REASON_ROUNDS},
        {{.max_rounds = 3}, REASON_SHORTER},
        {{.max_time_ns = 2500 * MS}, REASON_TIME}, /* 2 s so far, a round of 0.5 s, the pause */
        {{.max_time_ns = 10 * NS_PER_S}, REASON_SHORTER},
        {{.max_bytes = 270000ull * 4096}, REASON_BYTES}, /* 200,000 sent, 50,000 now, 27,000 then */
        {{.max_bytes = 300000ull * 4096}, REASON_SHORTER},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool ends = cases[i].reason != REASON_SHORTER;
        struct given g = ordinary();

        g.left = g.dirty = 50000;
        g.limits = cases[i].limits;
        g.limits.max_downtime_ns = 300 * MS;
        assert_decided(g, ends ? ACT_SUSPEND : ACT_ROUND, cases[i].reason);
        g.limits.on_stall = ON_STALL_ABORT;
        assert_decided(g, ends ? ACT_GIVE_UP : ACT_ROUND, cases[i].reason);
    }
}

static void test_stops_when_pages_are_not_what_makes_it_long(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.costs.receiver_ns = NS_PER_S;
    assert_decided(g, ACT_SUSPEND, REASON_FLOOR);
    g.left = g.dirty = 20000;
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
}

static void test_no_speed_known_means_no_promise(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.speed = 0;
    assert_true(outcome(g).now.whole_ns == INT64_MAX);
    assert_int_equal(outcome(g).action, ACT_ROUND);
    g.left = g.dirty = 0;
    assert_int_equal(outcome(g).now.whole_ns, 80 * MS);
    assert_decided(g, ACT_SUSPEND, REASON_DOWNTIME);
}

static void test_absurd_figures_do_not_overflow(void **state)
{
    (void)state;
    struct given g = ordinary();

    g.left = g.dirty = UINT64_MAX;
    g.costs.receiver_ns = INT64_MAX;
    g.costs.suspend_ns = INT64_MAX;
    assert_true(outcome(g).now.whole_ns == INT64_MAX);
    assert_true(outcome(g).now.high_ns > 0 && outcome(g).now.low_ns > 0);
}

/* A CLEAN that took a second is part of the pause that is predicted. */
static void test_a_late_clean_counts(void **state)
{
    (void)state;
    const struct given g = ordinary();
    struct stats s = see(&g);
    struct stats_round r = s.last;

    r.clean_ns = NS_PER_S;
    stats_add_round(&s, &r);
    assert_true(decide(&s, &g.limits, &g.costs).now.whole_ns > NS_PER_S);
}

static void test_words_say_what_and_why(void **state)
{
    (void)state;
    struct given g = ordinary();
    char words[DECISION_WORDS_BYTES];

    g.left = g.dirty = 32768;
    g.full = true;
    g.speed = 30000;
    g.stalled_rounds = DECIDE_PATIENCE;

    struct stats s = see(&g);
    struct decision d = decide(&s, &g.limits, &g.costs);

    decision_words(&s, &g.limits, &d, words);
    assert_non_null(strstr(words, "working set 128 MiB at 117 MiB/s: downtime would be 1.17 s"));
    assert_non_null(strstr(words, "over the 300 ms asked"));
    assert_non_null(strstr(words, "suspending all the same"));
    g.limits.on_stall = ON_STALL_ABORT;
    d = decide(&s, &g.limits, &g.costs);
    decision_words(&s, &g.limits, &d, words);
    assert_non_null(strstr(words, "giving up, the guest stays here"));
}

/* A downtime within the limit is not said to be over it, only because it might be. */
static void test_words_do_not_call_a_downtime_longer_than_it_is(void **state)
{
    (void)state;
    const struct stats s = {.send_pages_per_s = 30000};
    const struct decide_limits limits = {.max_downtime_ns = 300 * NS_PER_MS};
    struct decision d = {.action = ACT_ROUND,
        .reason = REASON_SHORTER,
        .now = {.whole_ns = 226 * NS_PER_MS, .careful_ns = 330 * NS_PER_MS},
        .next = {.whole_ns = 184 * NS_PER_MS}};
    char words[DECISION_WORDS_BYTES];

    decision_words(&s, &limits, &d, words);
    assert_non_null(strstr(words, "would be 226 ms, but may reach 330 ms, over the 300 ms asked"));
    d.now.whole_ns = 310 * NS_PER_MS;
    decision_words(&s, &limits, &d, words);
    assert_non_null(strstr(words, "would be 310 ms, over the 300 ms asked"));
}

/* 100,000 pages/s on a link of 40,000, two processors busy: stalled, and looked at often enough. */
static struct given busy(void)
{
    struct given g = ordinary();

    g.left = g.dirty = 100000;
    g.speed = 40000;
    g.cpu_percent = 200;
    g.stalled_rounds = DECIDE_PATIENCE;
    g.limits.on_stall = ON_STALL_THROTTLE;
    return g;
}

static void test_throttle_waits_as_long_as_suspend_does(void **state)
{
    (void)state;
    struct given g = busy();

    g.stalled_rounds = 0;
    assert_decided(g, ACT_OBSERVE, REASON_PATIENCE);
    g.stalled_rounds = DECIDE_PATIENCE - 1;
    assert_decided(g, ACT_THROTTLE, REASON_SLOWER);
}

/* So far that in the time that 220 ms of pages take, less than those are written to: 0.8 of 40 % of
 * the speed, but for what is written while it suspends. */
static void test_throttle_slows_down_as_far_as_the_goal_needs(void **state)
{
    (void)state;
    const struct given g = busy();
    const struct decision d = outcome(g);

    assert_int_equal(d.action, ACT_THROTTLE);
    assert_in_range(d.cap_percent, 60, 66);
    assert_true((double)d.next.pages_ns < 0.85 * (double)d.now.pages_ns);
    assert_false(d.keep_repeats);
}

/* The further over the target, the slower; but at most four times slower in one step. */
static void test_throttle_goes_in_steps(void **state)
{
    (void)state;
    struct given g = busy();

    g.speed = 5000;
    assert_int_equal(outcome(g).cap_percent, 50);
    g.speed = 80000;
    assert_in_range(outcome(g).cap_percent, 120, 130);
}

/* Slowed already, a round must bring it much closer, or the next step follows at once. */
static void test_a_slow_guest_is_not_looked_at_again(void **state)
{
    (void)state;
    struct given g = busy();

    g.stalled_rounds = 0;
    g.cap_percent = 100;
    g.cpu_percent = 100;
    g.dirty = g.left = 50000;
    assert_decided(g, ACT_THROTTLE, REASON_SLOWER);
    assert_true(outcome(g).cap_percent <= 80);
    g.dirty = g.left = 20000; /* a round halves it */
    assert_decided(g, ACT_ROUND, REASON_SHORTER);
}

static void test_throttle_ends_in_suspending(void **state)
{
    (void)state;
    struct given g = busy();

    /* Nothing is known of its processor time, or it is too little to cap. */
    g.cpu_percent = 0;
    assert_decided(g, ACT_SUSPEND, REASON_SLOWEST);
    g.cpu_percent = 6;
    assert_decided(g, ACT_SUSPEND, REASON_SLOWEST);
    /* The parts that are not pages take it all. */
    g = busy();
    g.costs.receiver_ns = 300 * MS;
    assert_decided(g, ACT_SUSPEND, REASON_SLOWEST);
    /* As slow as it may become. */
    g = busy();
    g.cap_percent = 20;
    g.cpu_percent = 20;
    struct stats s = see(&g);

    s.slowed.whole_percent = 200;
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_SLOWEST);
    /* It does not heed the cap. */
    g = busy();
    g.cap_percent = 100;
    s = see(&g);
    assert_int_equal(s.slowed.unanswered, 1);
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_SLOWER);
    s.slowed.unanswered = 2;
    assert_int_equal(decide(&s, &g.limits, &g.costs).reason, REASON_SLOWEST);
    assert_int_equal(decide(&s, &g.limits, &g.costs).action, ACT_SUSPEND);
    /* A limit is a limit. */
    g = busy();
    g.limits.max_rounds = g.rounds;
    assert_decided(g, ACT_SUSPEND, REASON_ROUNDS);
}

/* When it suspends it is as fast as before: what it writes then counts in full. */
static void test_a_slow_guest_suspends_at_full_speed(void **state)
{
    (void)state;
    struct given g = busy();

    g.cap_percent = 50; /* half of what it used */
    g.dirty = g.left = 10000;

    struct stats s = see(&g);

    s.slowed.unanswered = 0;
    /* 30 ms, as 60 ms of a slow one. */
    assert_in_range(decide(&s, &g.limits, &g.costs).now.pages, 10590, 10610);
}

static void test_words_say_how_slow(void **state)
{
    (void)state;
    struct given g = busy();
    char words[DECISION_WORDS_BYTES];
    struct stats s = see(&g);
    struct decision d = decide(&s, &g.limits, &g.costs);

    decision_words(&s, &g.limits, &d, words);
    assert_non_null(strstr(words, "slowing the guest to 3"));
    assert_non_null(strstr(words, "% of the processor time that it used (cap 6"));
    g.cpu_percent = 0;
    s = see(&g);
    d = decide(&s, &g.limits, &g.costs);
    decision_words(&s, &g.limits, &d, words);
    assert_non_null(strstr(words, "slowing it down would not help: suspending all the same"));
    g.cap_percent = 20;
    s = see(&g);
    s.slowed.unanswered = 2;
    d = decide(&s, &g.limits, &g.costs);
    decision_words(&s, &g.limits, &d, words);
    assert_non_null(strstr(words, "slowed to 50 % of its processor time it still writes as much"));
}

static void test_names_are_read_back(void **state)
{
    (void)state;
    enum on_stall o;

    assert_true(on_stall_parse(on_stall_name(ON_STALL_ABORT), &o));
    assert_int_equal(o, ON_STALL_ABORT);
    assert_false(on_stall_parse("", &o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_downtime_is_the_sum_of_its_parts),
        cmocka_unit_test(test_pages_dirtied_during_the_suspend_count),
        cmocka_unit_test(test_goes_on_while_rounds_shorten_the_pause),
        cmocka_unit_test(test_rounds_that_were_in_vain_are_not_believed_again),
        cmocka_unit_test(test_rounds_that_gain_too_little_do_not_help),
        cmocka_unit_test(test_a_guest_a_little_slower_than_the_link_is_followed),
        cmocka_unit_test(test_a_round_takes_as_long_as_what_it_sends),
        cmocka_unit_test(test_close_to_the_limit_it_makes_sure),
        cmocka_unit_test(test_a_guest_that_never_stops_ends_within_three_rounds),
        cmocka_unit_test(test_a_guest_is_observed_until_it_is_calm),
        cmocka_unit_test(test_a_guest_is_not_observed_for_ever),
        cmocka_unit_test(test_a_guest_that_writes_to_more_is_observed_for_less),
        cmocka_unit_test(test_a_guest_that_writes_to_more_is_not_calm),
        cmocka_unit_test(test_after_an_observation_that_left_more_a_round_less_follows),
        cmocka_unit_test(test_a_guest_is_not_observed_again_and_again),
        cmocka_unit_test(test_a_guest_is_not_observed_while_much_more_is_left),
        cmocka_unit_test(test_a_guest_is_not_observed_at_the_price_of_a_limit),
        cmocka_unit_test(test_a_pause_after_an_observation_counts_pages_once),
        cmocka_unit_test(test_a_pause_counts_kept_pages_once),
        cmocka_unit_test(test_a_round_that_costs_little_is_made_within_the_limit),
        cmocka_unit_test(test_away_from_the_minimum_it_looks_once_more),
        cmocka_unit_test(test_out_of_patience_a_round_must_lead_to_the_goal),
        cmocka_unit_test(test_limits_end_it),
        cmocka_unit_test(test_stops_when_pages_are_not_what_makes_it_long),
        cmocka_unit_test(test_no_speed_known_means_no_promise),
        cmocka_unit_test(test_absurd_figures_do_not_overflow),
        cmocka_unit_test(test_a_late_clean_counts),
        cmocka_unit_test(test_words_say_what_and_why),
        cmocka_unit_test(test_words_do_not_call_a_downtime_longer_than_it_is),
        cmocka_unit_test(test_throttle_waits_as_long_as_suspend_does),
        cmocka_unit_test(test_throttle_slows_down_as_far_as_the_goal_needs),
        cmocka_unit_test(test_throttle_goes_in_steps),
        cmocka_unit_test(test_a_slow_guest_is_not_looked_at_again),
        cmocka_unit_test(test_throttle_ends_in_suspending),
        cmocka_unit_test(test_a_slow_guest_suspends_at_full_speed),
        cmocka_unit_test(test_words_say_how_slow),
        cmocka_unit_test(test_names_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
