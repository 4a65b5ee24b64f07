/* SPDX-License-Identifier: MIT */
/* Waiting for a guest to connect its interfaces, whose states change between two looks. */
#include "base/deadline.h"
#include "engine/xen/vif.h"
#include "tests/unit/fake_xenstore.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VIFS = 2 };

static struct {
    const char *states[VIFS]; /* NULL: there is none */
    unsigned reads;
    unsigned connects_at[VIFS]; /* a read of any: then it does */
    unsigned watches;
} now;

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    char want[80];

    (void)h;
    (void)token;
    snprintf(want, sizeof(want), "/local/domain/0/backend/vif/7/%u/state", now.watches++);
    assert_string_equal(path, want);
    fake_xenstore_fire();
    return true;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    unsigned devid;

    (void)h;
    (void)t;
    assert_int_equal(sscanf(path, "/local/domain/0/backend/vif/7/%u/state", &devid), 1);
    now.reads++;

    char *state = now.states[devid] ? strdup(now.states[devid]) : NULL;

    for (unsigned i = 0; i < VIFS; i++)
        if (now.reads == now.connects_at[i]) {
            now.states[i] = "4";
            fake_xenstore_fire();
        }
    *len = state ? (unsigned)strlen(state) : 0;
    return state;
}

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    return fake_xenstore_begin();
}

static int tear_down(void **state)
{
    (void)state;
    return fake_xenstore_end();
}

static int await(int64_t limit_ns)
{
    static const unsigned devids[VIFS] = {0, 1};
    struct err e = ERR_INIT;
    const int rc = vif_await_connected(7, devids, VIFS, deadline_in(limit_ns), &e);

    assert_false(err_is_set(&e));
    return rc;
}

static void all_of_them_are_waited_for(void **state)
{
    (void)state;
    now.states[0] = now.states[1] = "2";
    now.connects_at[1] = 1;
    now.connects_at[0] = 4;
    assert_int_equal(await(30 * NS_PER_S), 0);
    assert_int_equal(now.reads, 6);
}

static void one_that_is_gone_is_not(void **state)
{
    (void)state;
    now.states[1] = "4";
    assert_int_equal(await(30 * NS_PER_S), 0);
}

static void without_any_nobody_can_tell(void **state)
{
    (void)state;
    assert_int_equal(await(30 * NS_PER_S), -ENOENT);
}

static void a_guest_that_connects_none_is_given_up(void **state)
{
    (void)state;
    now.states[0] = now.states[1] = "2";
    assert_int_equal(await(50 * NS_PER_MS), -ETIMEDOUT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_of_them_are_waited_for),
        TEST(one_that_is_gone_is_not),
        TEST(without_any_nobody_can_tell),
        TEST(a_guest_that_connects_none_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
