/* SPDX-License-Identifier: MIT */
/* What stands in for glibc's own where that is not there. */
#define XMIGRATE_PLAIN_LIBC 1
#include "base/libc.h"
#include "tests/unit/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static void errors_have_words(void **state)
{
    (void)state;
    assert_string_equal(strerrordesc_np(ENOENT), "No such file or directory");
    assert_non_null(strerrordesc_np(99999));
}

static void a_process_is_held_and_killed_by_its_descriptor(void **state)
{
    const pid_t pid = fork();
    int status;

    (void)state;
    if (!pid) {
        pause();
        _exit(0);
    }

    const int fd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(pidfd_send_signal(fd, SIGKILL, NULL, 0), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    close(fd);
    assert_int_equal(pidfd_open(-1, 0), -1);
    assert_int_equal(errno, EINVAL);
}

static void two_files_change_places(void **state)
{
    char dir[TEMP_DIR_BYTES], a[TEMP_DIR_BYTES + 2], b[TEMP_DIR_BYTES + 2];
    struct stat before, after;

    (void)state;
    assert_int_equal(temp_dir_make(dir), 0);
    snprintf(a, sizeof(a), "%s/a", dir);
    snprintf(b, sizeof(b), "%s/b", dir);
    close(open(a, O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
    assert_int_equal(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE), -1);
    assert_int_equal(errno, ENOENT);
    close(open(b, O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
    assert_int_equal(stat(a, &before), 0);
    assert_int_equal(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE), 0);
    assert_int_equal(stat(b, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_equal(temp_dir_remove(dir), 0);
}

static void descriptors_are_closed_from_one_on(void **state)
{
    const int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int second = fcntl(first, F_DUPFD_CLOEXEC, first + 1);

    (void)state;
    assert_int_equal(close_range((unsigned)second, (unsigned)second, 0), 0);
    assert_int_equal(fcntl(second, F_GETFD), -1);
    assert_true(fcntl(first, F_GETFD) >= 0);
    close(first);
}

/* An inherited one without CLOEXEC, from whoever started us. */
static void a_child_is_spawned_with_no_descriptor_but_three(void **state)
{
    const int inherited = open("/dev/null", O_RDONLY);
    char script[64], *argv[] = {(char *)"sh", (char *)"-c", script, NULL}, *env[] = {NULL};
    posix_spawn_file_actions_t files;
    int status;
    pid_t pid;

    (void)state;
    assert_true(inherited > STDERR_FILENO);
    snprintf(script, sizeof(script), "test ! -e /proc/self/fd/%d", inherited);
    for (int closed = 0; closed < 2; closed++) {
        posix_spawn_file_actions_init(&files);
        if (closed)
            assert_int_equal(
                posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1), 0);
        assert_int_equal(posix_spawn(&pid, "/bin/sh", &files, NULL, argv, env), 0);
        posix_spawn_file_actions_destroy(&files);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), !closed);
    }
    close(inherited);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_words),
        cmocka_unit_test(a_process_is_held_and_killed_by_its_descriptor),
        cmocka_unit_test(two_files_change_places),
        cmocka_unit_test(descriptors_are_closed_from_one_on),
        cmocka_unit_test(a_child_is_spawned_with_no_descriptor_but_three),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
