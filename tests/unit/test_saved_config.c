/* SPDX-License-Identifier: MIT */
/* Whose disks a guest gets that is built again from a file. */
#include "cmd/xmigrate/libxl/saved_config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static libxl_device_disk disks[3];
static libxl_domain_config config;

static int make_disks(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        libxl_device_disk_init(&disks[i]);
    disks[0].vdev = (char *)"xvda";
    disks[0].pdev_path = strdup("/mine");
    disks[0].readwrite = 1;
    disks[1].vdev = (char *)"xvdb";
    disks[2].vdev = (char *)"xvdc";
    disks[2].readwrite = disks[2].is_cdrom = 1;
    config = (libxl_domain_config){.disks = disks, .num_disks = 3};
    return 0;
}

static int free_disks(void **state)
{
    (void)state;
    free(disks[0].pdev_path);
    return 0;
}

static void refused(bool clone, const char *words)
{
    struct err e = ERR_INIT;

    assert_true(saved_config_check_disks(&config, NULL, 0, clone, &e) < 0);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_non_null(strstr(e.text, words));
    assert_non_null(strstr(e.text, "xvda (/mine)"));
}

static void a_writable_disk_has_to_be_given(void **state)
{
    static const char *const given[] = {"xvdb=/b", "xvda=/copy"};
    struct err e = ERR_INIT;

    (void)state;
    refused(false, "wrote to its disk");
    refused(true, "the guest itself uses its disk");
    assert_true(saved_config_check_disks(&config, given, 1, true, &e) < 0);
    assert_int_equal(saved_config_check_disks(&config, given, 2, true, &e), 0);
    assert_int_equal(saved_config_check_disks(&config, given, 2, false, &e), 0);
}

static void a_disk_that_is_given_replaces_its_target(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(saved_config_give_disk(&config, "xvda=/copy", &e), 0);
    assert_string_equal(disks[0].pdev_path, "/copy");
    assert_true(saved_config_give_disk(&config, "xvdz=/copy", &e) < 0);
    assert_non_null(strstr(e.text, "no such disk"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_writable_disk_has_to_be_given, make_disks, free_disks),
        cmocka_unit_test_setup_teardown(
            a_disk_that_is_given_replaces_its_target, make_disks, free_disks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
