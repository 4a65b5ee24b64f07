/* SPDX-License-Identifier: MIT */
/* What a destination's QEMU says of itself, and whether that is enough. */
#include "cmd/xmigrate/emulator.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/xmigrate-emulator-XXXXXX";

static void a_version_is_found_in_what_it_says(void **state)
{
    struct device_model_version v;

    (void)state;
    assert_true(emulator_read_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", &v));
    assert_int_equal(v.major, 7);
    assert_int_equal(v.minor, 2);
    assert_true(emulator_read_version("QEMU emulator version 10.0.2", &v));
    assert_int_equal(v.major, 10);
    assert_false(emulator_read_version("", &v));
    assert_false(emulator_read_version("version", &v));
    assert_false(emulator_read_version("version x.y", &v));
}

/* A program that says so. */
static int check_against(const char *says, unsigned major, unsigned minor, struct err *e)
{
    const struct device_model_version source = {major, minor};
    FILE *f = fopen(path, "we");
    libxl_domain_config config;

    assert_non_null(f);
    fprintf(f, "#!/bin/sh\necho '%s'\nsleep 100\n", says);
    fclose(f);
    assert_int_equal(chmod(path, 0700), 0);
    setenv(EMULATOR_ENV, path, 1);
    libxl_domain_config_init(&config);
    config.c_info.type = LIBXL_DOMAIN_TYPE_HVM;

    const int rc = emulator_check(&config, source, e);

    libxl_domain_config_dispose(&config);
    return rc;
}

static void one_that_is_not_older_will_do(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(check_against("QEMU emulator version 7.2.0", 7, 2, &e), 0);
    assert_int_equal(check_against("QEMU emulator version 7.10.0", 7, 2, &e), 0);
    assert_int_equal(check_against("QEMU emulator version 8.0.0", 7, 2, &e), 0);
}

static void an_older_one_is_refused_with_both_versions(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_true(check_against("QEMU emulator version 7.1.9", 7, 2, &e) < 0);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_non_null(strstr(e.text, "QEMU 7.1"));
    assert_non_null(strstr(e.text, "QEMU 7.2"));
    assert_null(strchr(e.text, '\n'));
}

static void one_that_says_nothing_of_the_kind_is_refused(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_true(check_against("hello", 7, 2, &e) < 0);
    assert_int_equal(e.class, ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_is_found_in_what_it_says),
        cmocka_unit_test(one_that_is_not_older_will_do),
        cmocka_unit_test(an_older_one_is_refused_with_both_versions),
        cmocka_unit_test(one_that_says_nothing_of_the_kind_is_refused),
    };
    const int fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    unlink(path);
    return failed;
}
