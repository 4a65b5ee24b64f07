/* SPDX-License-Identifier: MIT */
/* Which disks may be attached while the guest still writes to them elsewhere, and what is said. */
#include "cmd/xmigrate/libxl/early_disks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* As libxl tells of `disk = [ "phy:/dev/vg/web1,xvda,w" ]`. */
static const libxl_device_disk phy = {
    .pdev_path = (char *)"/dev/vg/web1",
    .vdev = (char *)"xvda",
    .backend = LIBXL_DISK_BACKEND_PHY,
    .format = LIBXL_DISK_FORMAT_RAW,
    .readwrite = 1,
};

static void assert_late(const libxl_device_disk *disk, enum disk_device device, const char *words)
{
    const char *why = NULL;

    assert_false(disk_may_be_early(disk, device, EARLY_SAFE, &why));
    assert_string_equal(why, words);
}

static void a_whole_block_device_is_early(void **state)
{
    libxl_device_disk disk = phy;
    const char *why = NULL;

    (void)state;
    assert_true(disk_may_be_early(&disk, DISK_DEVICE_WHOLE, EARLY_SAFE, &why));
    assert_string_equal(why, "it is a whole block device");
    /* Left to libxl, which takes blkback for a block device. */
    disk.backend = LIBXL_DISK_BACKEND_UNKNOWN;
    assert_true(disk_may_be_early(&disk, DISK_DEVICE_WHOLE, EARLY_SAFE, &why));
}

static void anything_else_at_the_path_is_late(void **state)
{
    (void)state;
    assert_late(&phy, DISK_DEVICE_PARTITION, "it is a partition");
    assert_late(&phy, DISK_DEVICE_LOOP, "there is a file beneath it");
    assert_late(&phy, DISK_DEVICE_FILE, "it is a file");
    assert_late(&phy, DISK_DEVICE_MISSING, "it is not there");
    assert_late(&phy, DISK_DEVICE_UNKNOWN, "sysfs does not know it");
}

static void a_script_is_late(void **state)
{
    libxl_device_disk disk = phy;

    (void)state;
    disk.script = (char *)"block-drbd";
    assert_late(&disk, DISK_DEVICE_WHOLE, "a script attaches it");
}

static void a_process_that_serves_it_is_late(void **state)
{
    static const libxl_disk_backend served[] = {
        LIBXL_DISK_BACKEND_QDISK, LIBXL_DISK_BACKEND_TAP, LIBXL_DISK_BACKEND_STANDALONE};
    libxl_device_disk disk = phy;

    (void)state;
    for (unsigned i = 0; i < sizeof(served) / sizeof(served[0]); i++) {
        disk.backend = served[i];
        assert_late(&disk, DISK_DEVICE_WHOLE, "a process serves it");
    }
}

static void an_image_is_late(void **state)
{
    libxl_device_disk disk = phy;

    (void)state;
    disk.backend = LIBXL_DISK_BACKEND_UNKNOWN;
    disk.format = LIBXL_DISK_FORMAT_QCOW2;
    assert_late(&disk, DISK_DEVICE_WHOLE, "it is an image and not raw");
}

static void another_domains_disk_is_late(void **state)
{
    libxl_device_disk disk = phy;

    (void)state;
    disk.backend_domid = 3;
    assert_late(&disk, DISK_DEVICE_WHOLE, "another domain serves it");
    disk.backend_domid = 0;
    disk.backend_domname = (char *)"storage";
    assert_late(&disk, DISK_DEVICE_WHOLE, "another domain serves it");
}

static void people_may_say_otherwise(void **state)
{
    libxl_device_disk disk = phy;
    const char *why;

    (void)state;
    assert_false(disk_may_be_early(&disk, DISK_DEVICE_WHOLE, EARLY_NONE, &why));
    assert_string_equal(why, "--early-disks none");
    disk.script = (char *)"block-iscsi";
    assert_true(disk_may_be_early(&disk, DISK_DEVICE_FILE, EARLY_ALL, &why));
    assert_string_equal(why, "--early-disks all");
}

static void a_path_is_looked_at(void **state)
{
    char file[] = "/tmp/test_early_disks.XXXXXX";
    const int fd = mkstemp(file);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(disk_device_at(file), DISK_DEVICE_FILE);
    unlink(file);
    assert_int_equal(disk_device_at(file), DISK_DEVICE_MISSING);
    assert_int_equal(disk_device_at("/dev/null"), DISK_DEVICE_FILE);
    assert_int_equal(disk_device_at(NULL), DISK_DEVICE_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_block_device_is_early),
        cmocka_unit_test(anything_else_at_the_path_is_late),
        cmocka_unit_test(a_script_is_late),
        cmocka_unit_test(a_process_that_serves_it_is_late),
        cmocka_unit_test(an_image_is_late),
        cmocka_unit_test(another_domains_disk_is_late),
        cmocka_unit_test(people_may_say_otherwise),
        cmocka_unit_test(a_path_is_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
