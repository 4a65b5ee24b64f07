/* SPDX-License-Identifier: MIT */
/* Where hosts are looked for: in a directory of one's own. */
#include "xensim/client.h"

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

static void a_directory_that_others_can_write_to_is_not_ours(void **state)
{
    char dir[] = "/tmp/xensim-test-XXXXXX", link[64];
    const uid_t me = geteuid();

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(link, sizeof(link), "%s/link", dir);
    assert_true(client_dir_is_ours(dir, me));
    assert_false(client_dir_is_ours(dir, me + 1));
    assert_true(client_dir_is_ours(link, me)); /* not there yet */
    assert_int_equal(symlink(dir, link), 0);
    assert_false(client_dir_is_ours(link, me));
    assert_int_equal(chmod(dir, 0720), 0);
    assert_false(client_dir_is_ours(dir, me));
    assert_int_equal(chmod(dir, 0702), 0);
    assert_false(client_dir_is_ours(dir, me));
    assert_int_equal(chmod(dir, 0755), 0);
    assert_true(client_dir_is_ours(dir, me));
    unlink(link);
    rmdir(dir);
}

static void host_names_are_one_part_of_a_path(void **state)
{
    static const char *const bad[] = {
        "", ".", "../a", "a/b", "-a", "a23456789012345678901234567890123456789012"};
    char dir[400];

    (void)state;
    setenv("XENSIM_DIR", "/nowhere", 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err e = ERR_INIT;

        assert_int_equal(client_host_dir(bad[i], dir, sizeof(dir), &e), -EINVAL);
        assert_int_equal(e.class, ERR_USAGE);
    }

    struct err e = ERR_INIT;

    assert_int_equal(client_host_dir("a", dir, sizeof(dir), &e), 0);
    assert_string_equal(dir, "/nowhere/a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_that_others_can_write_to_is_not_ours),
        cmocka_unit_test(host_names_are_one_part_of_a_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
