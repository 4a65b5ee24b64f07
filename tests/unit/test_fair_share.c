/* SPDX-License-Identifier: MIT */
/* What moves from one host get of its bandwidth. */
#include "sched/bucket.h"
#include "sched/fair_share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define M UINT64_C(1000000)
#define ALL                                                                                        \
    {                                                                                              \
        FAIR_SHARE_ALL, false                                                                      \
    }

static void each_gets_as_much_as_any_other(void **state)
{
    static const struct fair_claim of[] = {ALL, ALL, ALL, ALL};

    (void)state;
    for (unsigned n = 1; n <= 4; n++)
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(fair_share(240 * M, of, n, i), 240 * M / n);
}

static void what_one_leaves_is_for_the_others(void **state)
{
    static const struct fair_claim of[] = {ALL, {10 * M, false}, {70 * M, false}, ALL};

    (void)state;
    assert_int_equal(fair_share(240 * M, of, 4, 0), 80 * M);
    assert_int_equal(fair_share(240 * M, of, 4, 1), 10 * M);
    assert_int_equal(fair_share(240 * M, of, 4, 2), 70 * M);
    assert_int_equal(fair_share(240 * M, of, 4, 3), 80 * M);
    /* Nobody wants it all. */
    assert_int_equal(fair_share(240 * M, of + 1, 2, 0), 10 * M);
    assert_int_equal(fair_share(240 * M, of + 1, 2, 1), 70 * M);
}

static void one_that_stands_still_gets_all_but_the_least(void **state)
{
    static const struct fair_claim of[] = {
        ALL, {FAIR_SHARE_ALL, true}, ALL, {FAIR_SHARE_ALL, true}};

    (void)state;
    assert_int_equal(fair_share(240 * M, of, 3, 1), 238 * M);
    assert_int_equal(fair_share(240 * M, of, 3, 0), BUCKET_LEAST_BITS_PER_S);
    /* Two of them, which takes a pause that others had waited for too long. */
    assert_int_equal(fair_share(240 * M, of, 4, 1), 119 * M);
    assert_int_equal(fair_share(240 * M, of, 4, 3), 119 * M);
}

/* It has a limit of its own. */
static void one_that_stands_still_leaves_what_it_cannot_use(void **state)
{
    static const struct fair_claim of[] = {ALL, {10 * M, true}, {30 * M, false}, ALL};

    (void)state;
    assert_int_equal(fair_share(240 * M, of, 4, 1), 10 * M);
    assert_int_equal(fair_share(240 * M, of, 4, 2), 30 * M);
    assert_int_equal(fair_share(240 * M, of, 4, 0), 100 * M);
    assert_int_equal(fair_share(240 * M, of, 4, 3), 100 * M);
}

static void nobody_gets_less_than_keeps_it_alive(void **state)
{
    static const struct fair_claim of[] = {ALL, ALL, {0, false}};

    (void)state;
    assert_int_equal(fair_share(2 * M, of, 2, 0), M);
    assert_int_equal(fair_share(M, of, 3, 0), M);
    assert_int_equal(fair_share(100 * M, of, 3, 2), M);
}

/* Whatever they claim: no more than the limit in all, and nothing left over that anybody wants. */
static void all_of_it_is_given_and_no_more(void **state)
{
    struct fair_claim of[40];

    (void)state;
    srandom(1);
    for (unsigned turn = 0; turn < 2000; turn++) {
        const unsigned count = 1 + (unsigned)random() % 40;
        const uint64_t limit = (40 + (uint64_t)random() % 1000) * M;
        uint64_t sum = 0;
        bool wants_more = false;

        for (unsigned i = 0; i < count; i++)
            of[i] = (struct fair_claim){
                random() % 3 ? (uint64_t)random() % (limit / 4) : FAIR_SHARE_ALL,
                random() % 20 == 0};
        for (unsigned i = 0; i < count; i++) {
            const uint64_t share = fair_share(limit, of, count, i);

            sum += share;
            wants_more |= share < of[i].bits_per_s && share > BUCKET_LEAST_BITS_PER_S;
        }
        assert_true(sum <= limit);
        if (wants_more)
            assert_true(sum >= limit - count);
    }
}

static void who_uses_its_share_claims_all(void **state)
{
    (void)state;
    assert_int_equal(fair_claim_of(80 * M, 80 * M, 240 * M), FAIR_SHARE_ALL);
    assert_int_equal(fair_claim_of(76 * M, 80 * M, 240 * M), FAIR_SHARE_ALL);
    assert_int_equal(fair_claim_of(81 * M, 80 * M, 240 * M), FAIR_SHARE_ALL);
    assert_in_range(fair_claim_of(40 * M, 80 * M, 240 * M), 50 * M, 58 * M);
    assert_in_range(fair_claim_of(0, 80 * M, 240 * M), 1, 8 * M);
}

/* A guest that writes as much as ever keeps what it claimed; one that writes more gets it back. */
static void a_share_that_was_lent_stays_lent_until_it_is_wanted(void **state)
{
    (void)state;
    for (uint64_t used = 0; used < 70 * M; used += M / 2) {
        const uint64_t claim = fair_claim_of(used, 80 * M, 240 * M);

        assert_int_equal(fair_claim_of(used, claim, 240 * M), claim);
        assert_int_equal(fair_claim_of(claim, claim, 240 * M), FAIR_SHARE_ALL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_as_much_as_any_other),
        cmocka_unit_test(what_one_leaves_is_for_the_others),
        cmocka_unit_test(one_that_stands_still_gets_all_but_the_least),
        cmocka_unit_test(one_that_stands_still_leaves_what_it_cannot_use),
        cmocka_unit_test(nobody_gets_less_than_keeps_it_alive),
        cmocka_unit_test(all_of_it_is_given_and_no_more),
        cmocka_unit_test(who_uses_its_share_claims_all),
        cmocka_unit_test(a_share_that_was_lent_stays_lent_until_it_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
