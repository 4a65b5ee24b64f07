/* SPDX-License-Identifier: MIT */
/* What killed processes left in the run directory goes, and nothing that somebody has. */
#include "cmd/lock_file.h"
#include "cmd/xmigrate/handoff/sweep.h"
#include "tests/unit/temp_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[TEMP_DIR_BYTES];

static int make_dir(void **state)
{
    (void)state;
    return temp_dir_make(dir) || setenv("XMIGRATE_RUN_DIR", dir, 1) ||
           setenv("XMIGRATE_STATE_DIR", dir, 1);
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void make(const char *name)
{
    const int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(const char *name)
{
    return !access(path_of(name), F_OK);
}

static int drop_dir(void **state)
{
    (void)state;
    return temp_dir_remove(dir);
}

static void a_change_that_was_not_finished_leaves_nothing(void **state)
{
    (void)state;
    make("departed");
    make("departed.new");
    make("departed.lock");
    make("metrics.lock"); /* killed before it wrote */
    sweep_dead();
    assert_true(is_there("departed"));
    assert_false(is_there("departed.new") || is_there("departed.lock") || is_there("metrics.lock"));
}

static void a_change_under_way_is_left_alone(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(lock_file_take(path_of("departed.lock"), &fd), 0);
    make("departed.new");
    sweep_dead();
    assert_true(is_there("departed.new") && is_there("departed.lock"));
    lock_file_drop(path_of("departed.lock"), fd);
    assert_false(is_there("departed.lock"));
}

static void guests_and_monitors_locks_stay(void **state)
{
    (void)state;
    make("domain-7.lock");
    make("monitor-00000000-0000-4000-8000-000000000001.lock");
    sweep_dead();
    assert_true(is_there("domain-7.lock"));
    assert_true(is_there("monitor-00000000-0000-4000-8000-000000000001.lock"));
}

static void only_dead_processes_meeting_places_go(void **state)
{
    char mine[32];

    (void)state;
    snprintf(mine, sizeof(mine), "link-%d", (int)getpid());
    make(mine);
    make("link-2147483647");
    make("admin-2147483647");
    sweep_dead();
    assert_true(is_there(mine));
    assert_false(is_there("link-2147483647") || is_there("admin-2147483647"));
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(a_change_that_was_not_finished_leaves_nothing),
        IN_DIR(a_change_under_way_is_left_alone),
        IN_DIR(guests_and_monitors_locks_stay),
        IN_DIR(only_dead_processes_meeting_places_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
