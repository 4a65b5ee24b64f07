/* SPDX-License-Identifier: MIT */
/* What a pause is expected to take: before anything was seen, and after. */
#include "cmd/xmigrate/expect.h"

#include "base/deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MS NS_PER_MS

static char dir[] = "/tmp/xmigrate-expect-XXXXXX";

static const struct xl_devices none, disk_and_nic = {.phy_disks = 1, .nics = 1};

static struct expect_guest guest_with(const struct xl_devices *devices)
{
    return (struct expect_guest){
        .uuid = "01234567-89ab-cdef-0123-456789abcdef",
        .type = "pvh",
        .vcpus = 2,
        .devices = devices,
        .peer = "SHA256:abc",
    };
}

static int forget(void **state)
{
    static const char *const files[] = {"suspend", "finish", "start"};
    char path[64];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        unlink(path);
    }
    return 0;
}

static void the_first_guess_is_a_range_that_fits_slow_hosts_and_quick_ones(void **state)
{
    const struct expect_guest g = guest_with(&none), more = guest_with(&disk_and_nic);
    const struct likely finish = expect_finish(&g), slower = expect_finish(&more);
    const struct decide_costs costs = expect_pause(&g, &finish, 0);

    (void)state;
    assert_true(costs.low_ns < 14 * MS);
    assert_true(costs.high_ns > 965 * MS);
    /* Not so much that the usual limit of 300 ms would be thought out of reach. */
    assert_true(costs.suspend_ns + costs.receiver_ns < 200 * MS);
    assert_true(slower.low_ns > finish.low_ns && slower.ns > finish.ns);
    assert_true(slower.high_ns > 1800 * MS);
}

/* Another guest's moves, though with the same devices, say nothing of one with QEMU. */
static void a_device_model_takes_its_time_and_has_a_history_of_its_own(void **state)
{
    const struct expect_guest pvh = guest_with(&none);
    struct expect_guest hvm = pvh;
    struct err e = ERR_INIT;

    (void)state;
    hvm.type = "hvm";
    assert_true(expect_finish(&hvm).ns > expect_finish(&pvh).ns + 400 * MS);
    assert_int_equal(expect_learn_finish(&pvh, 20 * MS, &e), 0);
    assert_true(expect_finish(&hvm).ns > 400 * MS);
    assert_int_equal(expect_learn_finish(&hvm, 860 * MS, &e), 0);
    assert_int_equal(expect_finish(&hvm).ns, 860 * MS);
    assert_int_equal(expect_finish(&pvh).ns, 20 * MS);
}

/* Then only its state is loaded in the pause. */
static void a_device_model_that_was_started_early_is_quicker(void **state)
{
    struct expect_guest late = guest_with(&none), early;
    struct err e = ERR_INIT;

    (void)state;
    late.type = "hvm";
    early = late;
    early.early = true;
    assert_true(expect_finish(&early).ns < expect_finish(&late).ns - 300 * MS);
    assert_int_equal(expect_learn_finish(&late, 860 * MS, &e), 0);
    assert_true(expect_finish(&early).ns < 400 * MS);
    assert_int_equal(expect_learn_finish(&early, 90 * MS, &e), 0);
    assert_int_equal(expect_finish(&late).ns, 860 * MS);
}

static void the_network_is_waited_for_twice(void **state)
{
    const struct expect_guest g = guest_with(&none);
    const struct likely finish = {10 * MS, 10 * MS, 10 * MS};
    const struct decide_costs near = expect_pause(&g, &finish, 0);
    const struct decide_costs far = expect_pause(&g, &finish, 100 * MS);

    (void)state;
    assert_int_equal(far.network_ns, 200 * MS);
    assert_true(far.low_ns > near.low_ns + 150 * MS && far.high_ns > near.high_ns + 200 * MS);
}

static void what_came_of_it_is_expected_next_at_any_distance(void **state)
{
    const struct expect_guest g = guest_with(&none);
    const struct likely finish = expect_finish(&g);
    const struct decide_costs before = expect_pause(&g, &finish, 100 * MS);
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(expect_learn_pause(&g, &before, 7 * MS, 230 * MS, &e), 0);

    const struct decide_costs far = expect_pause(&g, &finish, 100 * MS);
    const struct decide_costs near = expect_pause(&g, &finish, 0);

    assert_int_equal(far.suspend_ns, 7 * MS);
    assert_int_equal(far.receiver_ns, 30 * MS);
    assert_int_equal(near.receiver_ns, 30 * MS);
    assert_true(far.high_ns - far.low_ns < (before.high_ns - before.low_ns) / 4);

    int64_t width_ns = far.high_ns - far.low_ns;

    for (int i = 0; i < 4; i++) {
        assert_int_equal(expect_learn_pause(&g, &far, 7 * MS, 230 * MS, &e), 0);

        const struct decide_costs c = expect_pause(&g, &finish, 100 * MS);

        assert_true(c.high_ns - c.low_ns < width_ns);
        width_ns = c.high_ns - c.low_ns;
    }
}

static void another_host_or_other_devices_are_not_the_same(void **state)
{
    struct expect_guest g = guest_with(&none);
    const struct likely finish = {300 * MS, 200 * MS, 400 * MS};
    const struct decide_costs at_first = expect_pause(&g, &finish, 0);
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(expect_learn_pause(&g, &at_first, 7 * MS, 30 * MS, &e), 0);
    g.peer = "SHA256:other"; /* what that one says itself is better */
    assert_int_equal(expect_pause(&g, &finish, 0).receiver_ns, at_first.receiver_ns);
    g = guest_with(&disk_and_nic);
    assert_int_equal(expect_pause(&g, &finish, 0).receiver_ns, at_first.receiver_ns);
}

static void arrivals_are_remembered_by_host_and_devices(void **state)
{
    struct expect_guest g = guest_with(&disk_and_nic);
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(expect_learn_finish(&g, 940 * MS, &e), 0);
    assert_int_equal(expect_finish(&g).ns, 940 * MS);

    const struct likely same = expect_finish(&g);

    g.peer = "SHA256:other"; /* the same devices: better than a guess */
    assert_int_equal(expect_finish(&g).ns, 940 * MS);
    assert_true(expect_finish(&g).high_ns >= same.high_ns);
    g = guest_with(&none);
    assert_true(expect_finish(&g).ns < 300 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            the_first_guess_is_a_range_that_fits_slow_hosts_and_quick_ones, forget),
        cmocka_unit_test_setup(a_device_model_takes_its_time_and_has_a_history_of_its_own, forget),
        cmocka_unit_test_setup(a_device_model_that_was_started_early_is_quicker, forget),
        cmocka_unit_test_setup(the_network_is_waited_for_twice, forget),
        cmocka_unit_test_setup(what_came_of_it_is_expected_next_at_any_distance, forget),
        cmocka_unit_test_setup(another_host_or_other_devices_are_not_the_same, forget),
        cmocka_unit_test_setup(arrivals_are_remembered_by_host_and_devices, forget),
    };

    if (!mkdtemp(dir))
        return 1;
    setenv("XMIGRATE_RUN_DIR", dir, 1);

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    forget(NULL);
    return rmdir(dir) ? 1 : failed;
}
