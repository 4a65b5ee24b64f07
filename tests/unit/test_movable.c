/* SPDX-License-Identifier: MIT */
/* Which guests are refused by their configuration alone, at both ends, and in what words. */
#include "cmd/xmigrate/libxl/config.h"
#include "cmd/xmigrate/suitable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static libxl_domain_config config;

static int make_config(void **state)
{
    (void)state;
    libxl_domain_config_init(&config);
    config.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    config.c_info.name = strdup("web1");
    return config.c_info.name ? 0 : -1;
}

static int drop_config(void **state)
{
    (void)state;
    libxl_domain_config_dispose(&config);
    return 0;
}

/* One line, the guest's name first, with these words in it. */
static void assert_refused(const char *what, const char *remedy)
{
    struct err e = ERR_INIT;

    assert_true(xl_config_check_movable(&config, &e) < 0);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_int_equal(strncmp(e.text, "web1 ", 5), 0);
    assert_non_null(strstr(e.text, what));
    assert_non_null(strstr(e.text, remedy));
    assert_null(strchr(e.text, '\n'));
}

static void pv_and_pvh_are_movable(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(xl_config_check_movable(&config, &e), 0);
    config.c_info.type = LIBXL_DOMAIN_TYPE_PV;
    assert_int_equal(xl_config_check_movable(&config, &e), 0);
}

static libxl_domain_build_info *make_hvm(void)
{
    config.c_info.type = LIBXL_DOMAIN_TYPE_HVM;
    libxl_domain_build_info_init_type(&config.b_info, LIBXL_DOMAIN_TYPE_HVM);
    config.b_info.device_model_version = LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN;
    return &config.b_info;
}

static void hvm_is_movable_with_viridian(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    libxl_defbool_set(&make_hvm()->u.hvm.viridian, true);
    assert_int_equal(xl_config_check_movable(&config, &e), 0);
}

static void the_old_device_model_is_refused(void **state)
{
    (void)state;
    make_hvm()->device_model_version = LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN_TRADITIONAL;
    assert_refused("qemu-xen-traditional", "device_model_version");
}

static void a_stub_domain_is_refused(void **state)
{
    (void)state;
    libxl_defbool_set(&make_hvm()->device_model_stubdomain, true);
    assert_refused("stub domain", "xl migrate");
}

static void nested_guests_are_refused(void **state)
{
    (void)state;
    libxl_defbool_set(&make_hvm()->nested_hvm, true);
    assert_refused("nestedhvm", "start it there");
    config.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    assert_refused("nestedhvm", "start it there");
}

static void alternate_views_of_memory_are_refused(void **state)
{
    (void)state;
    make_hvm()->altp2m = LIBXL_ALTP2M_MODE_MIXED;
    assert_refused("altp2m", "start it there");
    config.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    assert_refused("altp2m", "start it there");
}

static void a_virtual_tpm_is_refused(void **state)
{
    (void)state;
    config.vtpms = calloc(1, sizeof(*config.vtpms));
    assert_non_null(config.vtpms);
    libxl_device_vtpm_init(config.vtpms);
    config.num_vtpms = 1;
    assert_refused("virtual TPM", "xl vtpm-detach");
}

static void an_assigned_pci_device_is_refused(void **state)
{
    (void)state;
    config.pcidevs = calloc(1, sizeof(*config.pcidevs));
    assert_non_null(config.pcidevs);
    libxl_device_pci_init(config.pcidevs);
    config.num_pcidevs = 1;
    assert_refused("PCI passthrough", "xl pci-detach");
}

static void an_assigned_usb_device_is_refused(void **state)
{
    (void)state;
    config.usbdevs = calloc(1, sizeof(*config.usbdevs));
    assert_non_null(config.usbdevs);
    libxl_device_usbdev_init(config.usbdevs);
    config.num_usbdevs = 1;
    assert_refused("USB device", "xl usbdev-detach");
}

static void virtual_numa_is_refused(void **state)
{
    (void)state;
    config.b_info.vnuma_nodes = calloc(1, sizeof(*config.b_info.vnuma_nodes));
    assert_non_null(config.b_info.vnuma_nodes);
    libxl_vnode_info_init(config.b_info.vnuma_nodes);
    config.b_info.num_vnuma_nodes = 1;
    assert_refused("virtual NUMA nodes (vnuma)", "shut it down");
}

static void an_older_xen_is_told_from_a_newer_one(void **state)
{
    const struct xl_version old = {4, 17}, new = {4, 20}, next = {5, 0}, unknown = {0};

    (void)state;
    assert_true(suitable_is_older_xen(old, new));
    assert_true(suitable_is_older_xen(new, next));
    assert_false(suitable_is_older_xen(new, old));
    assert_false(suitable_is_older_xen(next, new));
    assert_false(suitable_is_older_xen(old, old));
    assert_false(suitable_is_older_xen(unknown, old));
    assert_false(suitable_is_older_xen(old, unknown));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pv_and_pvh_are_movable, make_config, drop_config),
        cmocka_unit_test_setup_teardown(hvm_is_movable_with_viridian, make_config, drop_config),
        cmocka_unit_test_setup_teardown(the_old_device_model_is_refused, make_config, drop_config),
        cmocka_unit_test_setup_teardown(a_stub_domain_is_refused, make_config, drop_config),
        cmocka_unit_test_setup_teardown(nested_guests_are_refused, make_config, drop_config),
        cmocka_unit_test_setup_teardown(
            alternate_views_of_memory_are_refused, make_config, drop_config),
        cmocka_unit_test_setup_teardown(a_virtual_tpm_is_refused, make_config, drop_config),
        cmocka_unit_test_setup_teardown(
            an_assigned_pci_device_is_refused, make_config, drop_config),
        cmocka_unit_test_setup_teardown(
            an_assigned_usb_device_is_refused, make_config, drop_config),
        cmocka_unit_test_setup_teardown(virtual_numa_is_refused, make_config, drop_config),
        cmocka_unit_test(an_older_xen_is_told_from_a_newer_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
