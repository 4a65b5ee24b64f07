/* SPDX-License-Identifier: MIT */
/*
 * Asking a guest to suspend, and taking that back: xenstore is one node and one watch, Xen one
 * domain, and the guest answers at the worst moments.
 */
#include "engine/xen/suspend.h"
#include "tests/unit/fake_xenstore.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE     "/local/domain/7/control/shutdown"
#define SHORT_NS (50 * NS_PER_MS)

static struct {
    char node[16];
    unsigned writes;     /* to the node */
    unsigned seen;       /* writes, when the transaction read it */
    char in_hand[16];    /* what the transaction wrote */
    unsigned acks_after; /* it acknowledges in the middle of so many-th a transaction; 0: never */
    unsigned conflicts;  /* so many transactions fail for somebody else's reason */
    unsigned transactions;
    const char *feature; /* control/feature-suspend */
    bool suspends;       /* once it has acknowledged */
    bool answers_at_once;
    bool down, gone;
    unsigned looks, down_after; /* looks until it is down, without more ado; 0: never */
    const struct suspend_work *work;
    unsigned steps; /* of that */
    int step_code;  /* with which they fail */
} now;

static void write_node(const char *text)
{
    snprintf(now.node, sizeof(now.node), "%s", text);
    now.writes++;
}

static void acknowledge(void)
{
    write_node("");
    if (now.suspends) {
        now.down = true;
        fake_xenstore_fire();
    }
}

/* --- xenstore and Xen --- */

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    (void)h;
    (void)token;
    assert_string_equal(path, "@releaseDomain");
    fake_xenstore_fire();
    return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    (void)h;
    now.transactions++;
    return 5;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    (void)h;
    assert_int_equal(t, 5);
    if (abort)
        return true;
    if (now.conflicts || now.seen != now.writes) {
        now.conflicts -= now.conflicts > 0;
        errno = EAGAIN;
        return false;
    }
    write_node(now.in_hand);
    return true;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    char *value;

    (void)h;
    if (!t) {
        assert_string_equal(path, "/local/domain/7/control/feature-suspend");
        *len = (unsigned)strlen(now.feature);
        return strdup(now.feature);
    }
    value = strdup(now.node);
    assert_int_equal(t, 5);
    assert_string_equal(path, NODE);
    now.seen = now.writes;
    if (now.acks_after && now.transactions == now.acks_after && !strcmp(now.node, "suspend"))
        acknowledge();
    *len = (unsigned)strlen(value);
    return value;
}

bool xs_write(
    struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len)
{
    char text[16] = "";

    (void)h;
    assert_string_equal(path, NODE);
    memcpy(text, data, len);
    if (t) {
        strcpy(now.in_hand, text);
        return true;
    }
    write_node(text);
    if (now.answers_at_once)
        acknowledge();
    return true;
}

int xc_domain_getinfolist(
    xc_interface *xch, uint32_t first_domain, unsigned int max_domains, xc_domaininfo_t *info)
{
    (void)xch;
    assert_int_equal(first_domain, 7);
    assert_int_equal(max_domains, 1);
    now.down |= ++now.looks == now.down_after;
    if (now.gone)
        return 0;
    *info = (xc_domaininfo_t){.domain = 7, .flags = now.down ? XEN_DOMINF_shutdown : 0};
    return 1;
}

int xen_open(struct xen *x, const struct log *log, struct err *e)
{
    (void)log;
    (void)e;
    *x = (struct xen){0};
    return 0;
}

void xen_close(struct xen *x)
{
    (void)x;
}

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    now.feature = "1";
    return fake_xenstore_begin();
}

static int tear_down(void **state)
{
    (void)state;
    return fake_xenstore_end();
}

/* --- the tests --- */

static int ask_for(int64_t within_ns, const struct cancel *cancel, bool *pending, struct err *e)
{
    struct suspend s;
    struct xen x = {0};

    assert_int_equal(suspend_open(&s, 7, e), 0);

    const int rc = suspend_ask(&s, &x, now.work, cancel, deadline_in(within_ns), pending, e);

    suspend_close(&s);
    return rc;
}

static int ask(const struct cancel *cancel, bool *pending, struct err *e)
{
    return ask_for(SHORT_NS, cancel, pending, e);
}

static void a_guest_that_answers_is_seen_suspended(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.answers_at_once = now.suspends = true;
    assert_int_equal(ask(NULL, &pending, &e), 0);
    assert_false(pending);
    assert_string_equal(now.node, "");
}

static int step(void *arg, int64_t *next_ns, struct err *e)
{
    (void)arg;
    *next_ns = ++now.steps < 3 ? now_ns() : DEADLINE_NEVER;
    return now.step_code ? err_set(e, ERR_PEER, now.step_code, "the lane broke") : 0;
}

static const struct suspend_work steps = {step, NULL};

static void work_is_done_while_the_guest_suspends(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.work = &steps;
    now.feature = "";
    assert_int_equal(ask(NULL, &pending, &e), -ETIMEDOUT);
    assert_int_equal(now.steps, 3);
    assert_int_equal(e.class, ERR_GUEST);
}

static void a_quick_guest_leaves_no_time_for_it(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.work = &steps;
    now.answers_at_once = now.suspends = true;
    assert_int_equal(ask(NULL, &pending, &e), 0);
    assert_int_equal(now.steps, 0);
}

/* Whatever it failed with: a guest that has acknowledged is waited for. */
static void work_that_fails_stops_the_move_and_not_the_guest(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.work = &steps;
    now.feature = "";
    now.step_code = ETIMEDOUT;
    now.answers_at_once = true;
    assert_true(ask_for(60 * NS_PER_S, NULL, &pending, &e) < 0);
    assert_string_equal(e.text, "the lane broke");
    assert_int_equal(now.steps, 1);
    assert_true(pending);
}

static void one_that_goes_away_is_not_waited_for(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.gone = true;
    assert_int_equal(ask(NULL, &pending, &e), 0);
    assert_false(pending);
}

static void a_request_that_nobody_heard_is_taken_back_at_the_limit(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    assert_int_equal(ask(NULL, &pending, &e), -ETIMEDOUT);
    assert_int_equal(e.class, ERR_GUEST);
    assert_false(pending);
    assert_string_equal(now.node, "");
}

static void a_request_is_taken_back_when_the_move_is_stopped(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct cancel cancel;
    bool pending;

    assert_int_equal(cancel_init(&cancel, &e), 0);
    cancel_fire(&cancel);
    assert_int_equal(ask(&cancel, &pending, &e), -ECANCELED);
    assert_int_equal(e.class, ERR_CANCELLED);
    assert_false(pending);
    assert_string_equal(now.node, "");
    cancel_destroy(&cancel);
}

static void an_acknowledged_request_is_pending(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.answers_at_once = true;
    assert_int_equal(ask(NULL, &pending, &e), -ETIMEDOUT);
    assert_true(pending);
}

/* The transaction read "suspend", and the guest was faster. */
static void an_acknowledgement_during_the_transaction_counts(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.acks_after = 1;
    assert_int_equal(ask(NULL, &pending, &e), -ETIMEDOUT);
    assert_true(pending);
    assert_int_equal(now.transactions, 2);
}

static void a_transaction_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.conflicts = 3;
    assert_int_equal(ask(NULL, &pending, &e), -ETIMEDOUT);
    assert_false(pending);
    assert_int_equal(now.transactions, 4);
    assert_string_equal(now.node, "");
}

static void a_guest_that_cannot_is_not_asked(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.feature = "0";
    assert_int_equal(ask(NULL, &pending, &e), -EOPNOTSUPP);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_false(pending);
    assert_int_equal(now.writes, 0);
}

static void one_that_says_nothing_has_less_time(void **state)
{
    (void)state;
    const int64_t before_ns = now_ns();
    struct err e = ERR_INIT;
    bool pending;

    now.feature = "";
    assert_int_equal(ask_for(60 * NS_PER_S, NULL, &pending, &e), -ETIMEDOUT);
    assert_in_range(now_ns() - before_ns, SUSPEND_UNKNOWN_NS, 5 * SUSPEND_UNKNOWN_NS);
    assert_non_null(strstr(e.text, "feature-suspend is empty"));
    assert_false(pending);
    assert_string_equal(now.node, "");
}

static void one_that_says_nothing_may_do_it(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    bool pending;

    now.feature = "";
    now.answers_at_once = now.suspends = true;
    assert_int_equal(ask(NULL, &pending, &e), 0);
    assert_false(pending);
}

static void ending_a_request_that_nobody_heard_does_not_wait(void **state)
{
    (void)state;
    struct err e = ERR_INIT;

    write_node("suspend");
    assert_int_equal(suspend_end(7, 30 * NS_PER_S, &e), 0);
    assert_string_equal(now.node, "");
    assert_int_equal(now.looks, 0);
}

static void ending_an_acknowledged_request_waits_for_the_guest(void **state)
{
    (void)state;
    struct err e = ERR_INIT;

    now.down_after = 2; /* it is so when the watch's first event has come */
    assert_int_equal(suspend_end(7, 30 * NS_PER_S, &e), 0);
    assert_true(now.down);
}

static void a_guest_that_never_suspends_is_no_failure(void **state)
{
    (void)state;
    struct err e = ERR_INIT;

    assert_int_equal(suspend_end(7, SHORT_NS, &e), 0);
    assert_false(err_is_set(&e));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_guest_that_answers_is_seen_suspended),
        TEST(work_is_done_while_the_guest_suspends),
        TEST(a_quick_guest_leaves_no_time_for_it),
        TEST(work_that_fails_stops_the_move_and_not_the_guest),
        TEST(one_that_goes_away_is_not_waited_for),
        TEST(a_request_that_nobody_heard_is_taken_back_at_the_limit),
        TEST(a_request_is_taken_back_when_the_move_is_stopped),
        TEST(an_acknowledged_request_is_pending),
        TEST(an_acknowledgement_during_the_transaction_counts),
        TEST(a_transaction_that_fails_is_tried_again),
        TEST(a_guest_that_cannot_is_not_asked),
        TEST(one_that_says_nothing_has_less_time),
        TEST(one_that_says_nothing_may_do_it),
        TEST(ending_a_request_that_nobody_heard_does_not_wait),
        TEST(ending_an_acknowledged_request_waits_for_the_guest),
        TEST(a_guest_that_never_suspends_is_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
