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

/* Nothing by which it could be taken for the guest. */
static void a_clone_is_another_guest(void **state)
{
    static const uint8_t oui[] = {0x00, 0x16, 0x3e};
    libxl_device_nic nics[2] = {{.mac = {0, 0x16, 0x3e, 1, 2, 3}}, {.mac = {2, 4, 6, 8, 10, 12}}};
    libxl_domain_config guest = {.nics = nics, .num_nics = 2};
    uint8_t *generation = guest.b_info.u.hvm.ms_vm_genid.bytes;
    libxl_domain_config clone;
    libxl_device_nic its[2];
    struct err e = ERR_INIT;

    (void)state;
    guest.c_info.type = LIBXL_DOMAIN_TYPE_HVM;
    memset(guest.c_info.uuid.uuid, 7, 16);
    memset(generation, 9, 16);
    clone = guest;
    memcpy(its, nics, sizeof(its));
    clone.nics = its;
    assert_int_equal(saved_config_clone(&clone, &e), 0);
    assert_memory_not_equal(clone.c_info.uuid.uuid, guest.c_info.uuid.uuid, 16);
    assert_int_equal(clone.c_info.uuid.uuid[6] >> 4, 4);
    for (int i = 0; i < 2; i++) {
        assert_memory_not_equal(its[i].mac, nics[i].mac, sizeof(its[i].mac));
        assert_memory_equal(its[i].mac, oui, sizeof(oui));
    }
    assert_memory_not_equal(its[0].mac, its[1].mac, sizeof(its[0].mac));
    assert_memory_not_equal(clone.b_info.u.hvm.ms_vm_genid.bytes, generation, 16);
}

/* It was not given one. */
static void a_generation_that_is_none_stays_none(void **state)
{
    static const uint8_t none[16];
    libxl_domain_config guest = {.num_nics = 0};
    struct err e = ERR_INIT;

    (void)state;
    guest.c_info.type = LIBXL_DOMAIN_TYPE_HVM;
    assert_int_equal(saved_config_clone(&guest, &e), 0);
    assert_memory_equal(guest.b_info.u.hvm.ms_vm_genid.bytes, none, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_writable_disk_has_to_be_given, make_disks, free_disks),
        cmocka_unit_test_setup_teardown(
            a_disk_that_is_given_replaces_its_target, make_disks, free_disks),
        cmocka_unit_test(a_clone_is_another_guest),
        cmocka_unit_test(a_generation_that_is_none_stays_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
