/* SPDX-License-Identifier: MIT */
/*
 * When a suspended guest's disks count as drained: the thread of engine/drain.c over disks that the
 * test owns (in place of engine/xen/vbd.c).
 */
#include "base/deadline.h"
#include "engine/drain.h"
#include "engine/xen/vbd.h"
#include "tests/unit/fake_xen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS NS_PER_MS

static struct {
    atomic_uint owed;
    atomic_bool cached, hangs, unreadable;
    atomic_int opened, open_now, synced;
    atomic_uint owed_at_sync;
} disks;

/* ---- engine/xen/vbd.h ---- */

int vbds_open(
    struct xen *x, uint32_t domid, const struct vbds *before, struct vbds **v, struct err *e)
{
    (void)x, (void)domid, (void)before;
    *v = NULL;
    if (atomic_load(&disks.unreadable))
        return err_set(e, ERR_LOCAL, EIO, "no ring");
    atomic_fetch_add(&disks.opened, 1);
    atomic_fetch_add(&disks.open_now, 1);
    *v = (struct vbds *)&disks;
    return 0;
}

void vbds_close(struct vbds *v)
{
    if (v)
        atomic_fetch_sub(&disks.open_now, 1);
}

bool vbds_owe(const struct vbds *v, struct vbd_debt *debt)
{
    (void)v;
    strcpy(debt->disk, "xvda");
    debt->requests = atomic_load(&disks.owed);
    return debt->requests;
}

bool vbds_are_cached(const struct vbds *v)
{
    (void)v;
    return atomic_load(&disks.cached);
}

int vbds_sync(const struct vbds *v, struct err *e)
{
    (void)v, (void)e;
    while (atomic_load(&disks.hangs))
        sleep_until_ns(deadline_in(MS));
    atomic_store(&disks.owed_at_sync, atomic_load(&disks.owed));
    atomic_fetch_add(&disks.synced, 1);
    return 0;
}

/* ---- tests ---- */

static struct drain *drain;
static const struct log quiet = {.max = LOG_ERROR};

static int begin(void **state)
{
    (void)state;
    memset(&disks, 0, sizeof(disks));
    fake_xen_begin(1);
    fake_xen_opens(9);
    return 0;
}

static int end(void **state)
{
    (void)state;
    drain_close(drain);
    drain = NULL;
    fake_xen_end();
    return disks.open_now;
}

static void start(int64_t limit_ns)
{
    struct err e = ERR_INIT;

    assert_int_equal(drain_open(&drain, 1, &quiet, &e), 0);
    assert_int_equal(drain_start(drain, limit_ns, &e), 0);
}

static void suspend(void)
{
    drain_suspending(drain);
    drain_suspended(drain);
}

static void it_waits_for_the_last_answer_then_syncs(void **state)
{
    struct err e = ERR_INIT;
    int64_t waited_ns = 0;
    struct cancel cancel;

    (void)state;
    disks.owed = 2;
    disks.cached = true;
    start(10 * NS_PER_S);
    suspend();
    assert_int_equal(cancel_init(&cancel, &e), 0);
    sleep_until_ns(deadline_in(30 * MS));
    assert_int_equal(disks.synced, 0);
    atomic_store(&disks.owed, 0);
    assert_int_equal(drain_wait(drain, &cancel, &waited_ns, &e), 0);
    assert_int_equal(disks.synced, 1);
    assert_int_equal(disks.owed_at_sync, 0);
    /* Once more is no further wait. */
    waited_ns = 0;
    assert_int_equal(drain_wait(drain, &cancel, &waited_ns, &e), 0);
    assert_true(waited_ns < NS_PER_S);
    cancel_destroy(&cancel);
}

static void a_disk_that_never_answers_is_named(void **state)
{
    struct err e = ERR_INIT;
    int64_t waited_ns = 0;

    (void)state;
    disks.owed = 7;
    start(50 * MS);
    suspend();
    assert_int_equal(drain_wait(drain, NULL, &waited_ns, &e), -ETIMEDOUT);
    assert_non_null(strstr(e.text, "disk xvda"));
    assert_non_null(strstr(e.text, "7 are open"));
    assert_int_equal(e.class, ERR_LOCAL);
    assert_true(waited_ns >= 20 * MS);
}

static void disks_are_looked_for_again_while_it_suspends(void **state)
{
    struct err e = ERR_INIT;
    int64_t waited_ns = 0;

    (void)state;
    start(10 * NS_PER_S);
    assert_false(drain_is_cached(drain));
    assert_int_equal(disks.opened, 1);
    disks.cached = true; /* attached meanwhile */
    suspend();
    assert_true(drain_is_cached(drain));
    assert_int_equal(drain_wait(drain, NULL, &waited_ns, &e), 0);
    assert_int_equal(disks.opened, 2);
    assert_int_equal(disks.open_now, 1);
    assert_true(drain_is_cached(drain));
    assert_int_equal(disks.synced, 1);
}

static void rings_that_cannot_be_read_refuse_the_start_and_fail_the_end(void **state)
{
    struct err e = ERR_INIT, late = ERR_INIT;
    int64_t waited_ns = 0;

    (void)state;
    disks.unreadable = true;
    assert_int_equal(drain_open(&drain, 1, &quiet, &e), -EIO);
    assert_null(drain);
    disks.unreadable = false;
    fake_xen_opens(9);
    start(10 * NS_PER_S);
    disks.unreadable = true;
    suspend();
    assert_int_equal(drain_wait(drain, NULL, &waited_ns, &late), -EIO);
}

static void told_to_stop_it_stops(void **state)
{
    struct err e = ERR_INIT;
    int64_t waited_ns = 0;
    struct cancel cancel;

    (void)state;
    assert_int_equal(cancel_init(&cancel, &e), 0);
    disks.owed = 1;
    start(60 * NS_PER_S);
    suspend();
    cancel_fire(&cancel);
    assert_int_equal(drain_wait(drain, &cancel, &waited_ns, &e), -ECANCELED);
    cancel_destroy(&cancel);
}

static void a_guest_that_is_not_suspended_after_all_needs_no_drain(void **state)
{
    const int64_t before_ns = now_ns();

    (void)state;
    disks.owed = 1;
    start(60 * NS_PER_S);
    drain_suspending(drain);
    drain_close(drain);
    start(60 * NS_PER_S);
    assert_true(now_ns() - before_ns < 10 * NS_PER_S);
}

static void a_sync_that_hangs_holds_nobody_up(void **state)
{
    struct err e = ERR_INIT;
    int64_t waited_ns = 0;

    (void)state;
    disks.cached = true;
    start(20 * MS);
    disks.hangs = true;
    suspend();
    assert_int_equal(drain_wait(drain, NULL, &waited_ns, &e), -ETIMEDOUT);
    assert_non_null(strstr(e.text, "not written out in time"));
    disks.hangs = false;
}

static void what_gathers_while_the_guest_runs_is_written_out(void **state)
{
    const int64_t limit_ns = deadline_in(60 * NS_PER_S);

    (void)state;
    disks.cached = true;
    start(10 * NS_PER_S);
    while (!atomic_load(&disks.synced) && !deadline_passed(limit_ns))
        sleep_until_ns(deadline_in(20 * MS));
    assert_true(disks.synced > 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(it_waits_for_the_last_answer_then_syncs),
        TEST(a_disk_that_never_answers_is_named),
        TEST(disks_are_looked_for_again_while_it_suspends),
        TEST(rings_that_cannot_be_read_refuse_the_start_and_fail_the_end),
        TEST(told_to_stop_it_stops),
        TEST(a_guest_that_is_not_suspended_after_all_needs_no_drain),
        TEST(a_sync_that_hangs_holds_nobody_up),
        TEST(what_gathers_while_the_guest_runs_is_written_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
