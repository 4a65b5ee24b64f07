/* SPDX-License-Identifier: MIT */
/* The lock of a domain: one holder, and no file once there is none. */
#include "cmd/lock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/test_lock_XXXXXX";
static char path[sizeof(dir) + 16];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir) || setenv("XMIGRATE_RUN_DIR", dir, 1))
        return -1;
    snprintf(path, sizeof(path), "%s/domain-7.lock", dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static struct domain_lock take(void)
{
    struct domain_lock lock;
    struct err e = ERR_INIT;

    if (domain_lock_take(&lock, 7, &e))
        fail_msg("%s", e.text);
    return lock;
}

static void assert_busy(void)
{
    struct domain_lock lock;
    struct err e = ERR_INIT;

    assert_int_equal(domain_lock_take(&lock, 7, &e), -EBUSY);
    assert_int_equal(lock.fd, -1);
}

static void the_file_goes_with_its_holder(void **state)
{
    struct domain_lock lock = take();

    (void)state;
    assert_busy();
    assert_int_equal(access(path, F_OK), 0);
    domain_lock_release(&lock);
    domain_lock_release(&lock); /* once is enough */
    assert_int_equal(access(path, F_OK), -1);
    lock = take();
    domain_lock_release(&lock);
}

/* A save helper has the same lock, and goes on. */
static void the_file_stays_while_a_helper_has_the_lock(void **state)
{
    struct domain_lock lock = take();
    const int helpers = dup(lock.fd);

    (void)state;
    domain_lock_release(&lock);
    assert_int_equal(access(path, F_OK), 0);
    assert_busy();

    struct domain_lock adopted = domain_lock_adopt(helpers);

    domain_lock_release(&adopted);
    lock = take();
    domain_lock_release(&lock);
    assert_int_equal(access(path, F_OK), -1);
}

static void what_a_killed_process_asked_is_not_lost(void **state)
{
    struct domain_lock lock = take();

    (void)state;
    domain_lock_note_asked(&lock, true);
    domain_lock_release(&lock);
    lock = take();
    assert_true(domain_lock_is_asked(&lock));
    domain_lock_note_asked(&lock, false);
    domain_lock_release(&lock);
    assert_int_equal(access(path, F_OK), -1);
}

/* Its name was taken away, and is another file's now. */
static void a_lock_without_a_name_is_no_lock(void **state)
{
    struct domain_lock old = take(), lock;

    (void)state;
    assert_int_equal(unlink(path), 0);
    lock = take();
    domain_lock_release(&old); /* does not remove what is not its own */
    assert_int_equal(access(path, F_OK), 0);
    assert_busy();
    domain_lock_release(&lock);
    assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_goes_with_its_holder),
        cmocka_unit_test(the_file_stays_while_a_helper_has_the_lock),
        cmocka_unit_test(what_a_killed_process_asked_is_not_lost),
        cmocka_unit_test(a_lock_without_a_name_is_no_lock),
    };

    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
