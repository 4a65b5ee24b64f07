/* SPDX-License-Identifier: MIT */
/* The choice of a codec, against a lane and a link made of numbers. */
#include "sched/codec_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { RAW, LZ4, ZSTD, BATCH_PAGES = 512, ALL = 7 };

#define NS_PER_S 1000000000ll

/* What a page costs by each codec, and what the link lets through. */
struct world {
    double busy_ns[CODECS], bytes[CODECS];
    double bytes_per_s; /* 0: no limit */
};

/* Text goes to a half with LZ4 and a third with zstd; 1.5 GB/s raw when nothing is in the way. */
static const struct world text = {{2700, 7000, 13000}, {4096, 2000, 1300}, 0};
static const struct world noise = {{2700, 2900, 3100}, {4096, 4096, 4096}, 0};

struct run {
    struct codec_choice c;
    int64_t now_ns;
    uint64_t batches[CODECS];
};

static void begin(struct run *r, unsigned allowed)
{
    *r = (struct run){.now_ns = 1000};
    codec_choice_init(&r->c, allowed);
    codec_begin(&r->c, r->now_ns);
}

static void one_batch(struct run *r, const struct world *w)
{
    const unsigned codec = codec_choose(&r->c, r->now_ns);
    const double busy_ns = w->busy_ns[codec] * BATCH_PAGES, bytes = w->bytes[codec] * BATCH_PAGES;
    const double link_ns = w->bytes_per_s > 0 ? bytes / w->bytes_per_s * 1e9 : 0;
    const struct codec_sample s = {
        .codec = codec,
        .pages = BATCH_PAGES,
        .bytes = (uint64_t)bytes,
        .cpu_ns = (int64_t)busy_ns,
        .busy_ns = (int64_t)busy_ns,
        .wait_ns = link_ns > busy_ns ? (int64_t)(link_ns - busy_ns) : 0,
    };

    r->now_ns += s.busy_ns + s.wait_ns;
    r->batches[codec]++;
    codec_learn(&r->c, &s, r->now_ns);
}

/* Pages a second over so long. */
static double go(struct run *r, const struct world *w, double seconds)
{
    const int64_t begun_ns = r->now_ns;
    uint64_t pages = 0;

    for (unsigned i = 0; i < CODECS; i++)
        r->batches[i] = 0;
    while (r->now_ns - begun_ns < (int64_t)(seconds * NS_PER_S)) {
        one_batch(r, w);
        pages += BATCH_PAGES;
    }
    return (double)pages * 1e9 / (double)(r->now_ns - begun_ns);
}

static void on_every_link_it_is_nearly_as_fast_as_the_best_fixed_one(void **state)
{
    static const double links[] = {0, 12.5e6, 125e6, 300e6, 625e6, 1.25e9};

    (void)state;
    for (unsigned content = 0; content < 2; content++)
        for (unsigned l = 0; l < sizeof(links) / sizeof(links[0]); l++) {
            struct world w = content ? noise : text;
            double best = 0;
            struct run r;

            w.bytes_per_s = links[l];
            for (unsigned codec = 0; codec < CODECS; codec++) {
                begin(&r, 1u << codec);

                const double fixed = go(&r, &w, 10);

                best = fixed > best ? fixed : best;
            }
            begin(&r, ALL);

            const double chosen = go(&r, &w, 10);

            if (chosen < best * 0.9)
                fail_msg("content %u, %.0f bytes/s: %.0f pages/s, not %.0f", content, links[l],
                    chosen, best);
        }
}

static void say(struct run *r, unsigned codec, int64_t busy_ns, int64_t wait_ns)
{
    const struct codec_sample sample = {
        .codec = codec,
        .pages = BATCH_PAGES,
        .bytes = (uint64_t)text.bytes[codec] * BATCH_PAGES,
        .cpu_ns = busy_ns,
        .busy_ns = busy_ns,
        .wait_ns = wait_ns,
    };

    assert_int_equal(codec_choose(&r->c, r->now_ns), codec);
    r->now_ns += busy_ns + wait_ns;
    codec_learn(&r->c, &sample, r->now_ns);
}

static void a_receiver_that_begins_late_is_no_full_link(void **state)
{
    struct run r;

    (void)state;
    begin(&r, ALL);
    say(&r, RAW, 1400000, 60000000);
    go(&r, &text, 0.5);
    assert_in_range(r.batches[LZ4] + r.batches[ZSTD], 1, 2);
}

/* The other end is busy with something else for a while, as it is when it begins. */
static void a_hitch_at_the_beginning_costs_no_second(void **state)
{
    struct world hitch = text;
    struct run r;

    (void)state;
    hitch.bytes_per_s = 100e6;
    begin(&r, ALL);
    go(&r, &hitch, 0.2);
    assert_int_not_equal(r.c.current, RAW);
    go(&r, &text, 0.4);
    go(&r, &text, 0.5);
    assert_true(r.batches[RAW] > 20 * (r.batches[LZ4] + r.batches[ZSTD]));
}

/* What a trial compresses leaves at once and may have to wait, after a time in which nothing left.
 */
static void trials_say_nothing_of_the_link(void **state)
{
    struct run r;

    (void)state;
    begin(&r, ALL);
    say(&r, RAW, 1400000, 0);
    say(&r, LZ4, 14000000, 5000000);
    say(&r, ZSTD, 28000000, 10000000);
    go(&r, &text, 0.5);
    assert_int_equal(r.batches[LZ4] + r.batches[ZSTD], 0);
}

/* What waited in the sockets is gone after a pause: for a moment they take all there is. */
static void a_pause_of_the_sender_says_nothing_of_the_link(void **state)
{
    struct world slow = text;
    struct run r;

    (void)state;
    slow.bytes_per_s = 12.5e6;
    begin(&r, ALL);
    go(&r, &slow, 5);
    assert_int_equal(r.c.current, ZSTD);
    r.now_ns += 5 * NS_PER_S;
    codec_begin(&r.c, r.now_ns);
    go(&r, &text, 0.3);
    go(&r, &slow, 0.3);
    assert_int_equal(r.batches[RAW], 0);
    assert_int_equal(r.c.current, ZSTD);
}

static void a_choice_that_became_slower_lasts_no_second(void **state)
{
    struct world w = text;
    struct run r;

    (void)state;
    begin(&r, ALL);
    w.bytes_per_s = 50e6;
    go(&r, &w, 5);
    assert_true(r.batches[ZSTD] > 10 * (r.batches[RAW] + r.batches[LZ4]));

    /* The link becomes free: at once enough, and from the second second on it is raw. */
    w.bytes_per_s = 0;
    go(&r, &w, 1.1);
    go(&r, &w, 1);
    assert_true(r.batches[RAW] > 20 * (r.batches[LZ4] + r.batches[ZSTD]));

    /* And full again. */
    w.bytes_per_s = 50e6;
    go(&r, &w, 1);
    go(&r, &w, 2);
    assert_true(r.batches[ZSTD] > 10 * (r.batches[RAW] + r.batches[LZ4]));
}

/* Others use the processors as well, and interrupt what is long. */
static void a_trial_that_nobody_interrupted_is_no_cheaper_for_it(void **state)
{
    struct run r;
    unsigned trials = 0;

    (void)state;
    begin(&r, ALL);
    for (unsigned i = 0; i < 1000; i++) {
        const unsigned codec = codec_choose(&r.c, r.now_ns);
        const bool is_trial = codec != RAW;
        const uint64_t pages = is_trial ? BATCH_PAGES / 8 : BATCH_PAGES;
        const int64_t cpu_ns = (int64_t)(text.busy_ns[codec] * (double)pages);
        const struct codec_sample s = {
            .codec = codec,
            .pages = pages,
            .bytes = (uint64_t)(text.bytes[codec] * (double)pages),
            .cpu_ns = cpu_ns,
            .busy_ns = is_trial ? cpu_ns : 6 * cpu_ns,
        };

        r.now_ns += s.busy_ns;
        trials += is_trial;
        codec_learn(&r.c, &s, r.now_ns);
    }
    assert_in_range(trials, 2, 20);
}

static void the_others_are_tried_about_once_a_second(void **state)
{
    struct run r;

    (void)state;
    begin(&r, ALL);
    go(&r, &text, 10);
    assert_in_range(r.batches[LZ4], 8, 12);
    assert_in_range(r.batches[ZSTD], 8, 12);
}

/* On a slow processor LZ4 is worth it even without a limit of the link. */
static void a_cold_first_trial_is_soon_made_good(void **state)
{
    static const struct world slow = {{200000, 100000, 300000}, {4096, 2000, 1900}, 0};
    static const struct world cold = {{200000, 220000, 600000}, {4096, 2000, 1900}, 0};
    struct run r;

    (void)state;
    begin(&r, ALL);
    go(&r, &cold, 0.3); /* one batch of each */
    go(&r, &slow, 0.5);
    assert_int_equal(r.batches[RAW], 0);
}

static void the_only_one_allowed_is_used(void **state)
{
    struct run r;

    (void)state;
    begin(&r, 1u << LZ4);
    go(&r, &noise, 3);
    assert_int_equal(r.batches[RAW] + r.batches[ZSTD], 0);
}

static void batches_of_zero_pages_teach_nothing(void **state)
{
    struct run r;

    (void)state;
    begin(&r, ALL);
    for (unsigned i = 0; i < 100; i++)
        codec_learn(&r.c,
            &(struct codec_sample){
                .codec = RAW, .pages = 0, .bytes = 4104, .cpu_ns = 200000, .busy_ns = 200000},
            r.now_ns += 200000);
    assert_int_equal(r.c.cost[RAW].samples, 0);
}

/* What a page that goes as a difference cost beside one of that codec. */
static void teach_differences(
    struct codec_choice *c, int64_t page_ns, int64_t delta_ns, int64_t at_ns)
{
    const struct codec_sample s = {
        .codec = RAW,
        .pages = 100,
        .bytes = 100 * 4096 + 100 * 100,
        .cpu_ns = 100 * page_ns,
        .delta_pages = 100,
        .delta_bytes = 100 * 100,
        .delta_cpu_ns = 100 * delta_ns,
        .busy_ns = 100 * (page_ns + delta_ns),
    };

    codec_learn(c, &s, at_ns);
}

static void differences_pay_where_they_are_cheaper(void **state)
{
    struct codec_choice c;

    (void)state;
    codec_choice_init(&c, 1 << RAW);
    codec_begin(&c, 0);
    assert_true(codec_differences_pay(&c, RAW, 1)); /* not known: worth a try */
    teach_differences(&c, 2700, 2500, 10);
    assert_float_equal(codec_page_bytes(&c, RAW), 4096, 1);
    assert_true(codec_differences_pay(&c, RAW, 20));
    for (unsigned i = 0; i < 20; i++)
        teach_differences(&c, 2700, 9000, 30);
    assert_false(codec_differences_pay(&c, RAW, 40));
    assert_true(codec_differences_pay(&c, RAW, 40 + 2 * NS_PER_S)); /* that may have changed */
    c.link_ns_per_byte = 8;                                         /* and on 1 Gb/s they do */
    assert_true(codec_differences_pay(&c, RAW, 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_pay_where_they_are_cheaper),
        cmocka_unit_test(on_every_link_it_is_nearly_as_fast_as_the_best_fixed_one),
        cmocka_unit_test(a_receiver_that_begins_late_is_no_full_link),
        cmocka_unit_test(a_hitch_at_the_beginning_costs_no_second),
        cmocka_unit_test(trials_say_nothing_of_the_link),
        cmocka_unit_test(a_pause_of_the_sender_says_nothing_of_the_link),
        cmocka_unit_test(a_choice_that_became_slower_lasts_no_second),
        cmocka_unit_test(a_trial_that_nobody_interrupted_is_no_cheaper_for_it),
        cmocka_unit_test(the_others_are_tried_about_once_a_second),
        cmocka_unit_test(a_cold_first_trial_is_soon_made_good),
        cmocka_unit_test(the_only_one_allowed_is_used),
        cmocka_unit_test(batches_of_zero_pages_teach_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
