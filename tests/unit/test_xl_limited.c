/* SPDX-License-Identifier: MIT */
/*
 * libxl's calls with a limit: what a call gives comes back, one that hangs costs its context, and
 * the next one gets another. libxl itself (xl_open, xl_close, xl_set_log) is counted here.
 */
#include "base/deadline.h"
#include "cmd/xmigrate/libxl/limited.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static struct {
    int opened;
    bool no_xen;
    int64_t open_deadline_ns;
    atomic_int silenced;
    sem_t go_on, closed;
} now;

/* Contexts are told apart by number. */
static libxl_ctx *context(int nth)
{
    static char contexts[8];

    return (libxl_ctx *)&contexts[nth];
}

int xl_open(struct xl *xl, const struct log *log, int64_t deadline_ns, struct err *e)
{
    *xl = (struct xl){.log = log};
    now.open_deadline_ns = deadline_ns;
    if (now.no_xen)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "xenstored does not answer");
    xl->ctx = context(now.opened++);
    return 0;
}

void xl_close(struct xl *xl)
{
    *xl = (struct xl){0};
    sem_post(&now.closed);
}

void xl_set_log(struct xl *xl, const struct log *log)
{
    (void)xl;
    if (!log)
        now.silenced++;
}

struct doubling {
    struct xl_call call;
    int number;
    bool hangs;
    libxl_ctx *ctx;
};

static int make_doubling(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct doubling *d = (struct doubling *)call;

    if (d->hangs)
        sem_wait(&now.go_on);
    if (d->number < 0)
        return err_set(e, ERR_REFUSED, EINVAL, "%d is too small", d->number);
    d->number *= 2;
    d->ctx = xl->ctx;
    return 0;
}

static int double_it(struct xl *xl, struct doubling *d, int64_t wait_ns, struct err *e)
{
    d->call = (struct xl_call){make_doubling, "double a number"};
    return xl_call_limited(xl, &d->call, sizeof(*d), deadline_in(wait_ns), e);
}

static const struct log quiet = {.max = LOG_ERROR};

static int set_up(void **state)
{
    static struct xl xl;
    struct err e = ERR_INIT;

    now.opened = 0;
    now.no_xen = false;
    now.silenced = 0;
    sem_init(&now.go_on, 0, 0);
    sem_init(&now.closed, 0, 0);
    *state = &xl;
    return xl_open(&xl, &quiet, DEADLINE_NEVER, &e);
}

static void what_a_call_gives_comes_back(void **state)
{
    struct doubling d = {.number = 21};
    struct err e = ERR_INIT;

    assert_int_equal(double_it(*state, &d, 20 * NS_PER_S, &e), 0);
    assert_int_equal(d.number, 42);
    d.number = -1;
    assert_int_equal(double_it(*state, &d, 20 * NS_PER_S, &e), -EINVAL);
    assert_string_equal(e.text, "-1 is too small");
    assert_int_equal(now.opened, 1);
}

static void a_call_that_hangs_keeps_its_context_and_the_next_has_another(void **state)
{
    struct xl *xl = *state;
    struct doubling hangs = {.number = 1, .hangs = true}, next = {.number = 2};
    struct err e = ERR_INIT;

    assert_int_equal(double_it(xl, &hangs, 20 * NS_PER_MS, &e), -ETIMEDOUT);
    assert_non_null(strstr(e.text, "asked to double a number, does not answer"));
    assert_int_equal(hangs.number, 1);
    assert_null(xl->ctx);
    assert_int_equal(now.silenced, 1);

    e = (struct err)ERR_INIT;
    assert_int_equal(double_it(xl, &next, 20 * NS_PER_S, &e), 0);
    assert_ptr_equal(next.ctx, context(1));
    assert_ptr_equal(xl->log, &quiet);

    /* It ends after all, and its context with it. */
    sem_post(&now.go_on);
    sem_wait(&now.closed);
    assert_int_equal(hangs.number, 1);
    assert_ptr_equal(xl->ctx, context(1));
}

static void without_another_context_the_next_call_says_so_in_time(void **state)
{
    struct doubling hangs = {.number = 1, .hangs = true}, next = {.number = 2};
    struct err e = ERR_INIT;

    assert_int_equal(double_it(*state, &hangs, 20 * NS_PER_MS, &e), -ETIMEDOUT);
    now.no_xen = true;
    e = (struct err)ERR_INIT;
    assert_int_equal(double_it(*state, &next, 5 * NS_PER_S, &e), -ETIMEDOUT);
    assert_string_equal(e.text, "xenstored does not answer");
    assert_true(now.open_deadline_ns <= deadline_in(5 * NS_PER_S));
    sem_post(&now.go_on);
    sem_wait(&now.closed);
}

static void a_patient_one_waits_for_as_long_as_it_takes(void **state)
{
    struct doubling d = {.number = 21, .hangs = true};
    struct err e = ERR_INIT;
    struct xl *xl = *state;

    xl->patient = true;
    sem_post(&now.go_on);
    assert_int_equal(double_it(xl, &d, 0, &e), 0);
    assert_int_equal(d.number, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_a_call_gives_comes_back, set_up),
        cmocka_unit_test_setup(
            a_call_that_hangs_keeps_its_context_and_the_next_has_another, set_up),
        cmocka_unit_test_setup(without_another_context_the_next_call_says_so_in_time, set_up),
        cmocka_unit_test_setup(a_patient_one_waits_for_as_long_as_it_takes, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
