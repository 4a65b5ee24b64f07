/* SPDX-License-Identifier: MIT */
/* What is announced of a guest that has arrived: which interfaces, in which frame, and when. */
#include "base/deadline.h"
#include "cmd/xmigrate/announce.h"
#include "cmd/xmigrate/rarp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t mac[RARP_MAC_BYTES] = {0x00, 0x16, 0x3e, 0x12, 0x34, 0x56};

static void the_frame_is_a_rarp_request_from_the_guest(void **state)
{
    (void)state;
    static const uint8_t want[RARP_FRAME_BYTES] = {/* Ethernet: to all, from the guest, RARP */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x12, 0x34, 0x56, 0x80, 0x35,
        /* addresses of Ethernet and of IPv4, their lengths; request reverse */
        0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x03,
        /* who asks, for whom: the guest, with no IP address */
        0x00, 0x16, 0x3e, 0x12, 0x34, 0x56, 0, 0, 0, 0, 0x00, 0x16, 0x3e, 0x12, 0x34, 0x56};
    uint8_t frame[RARP_FRAME_BYTES];

    memset(frame, 0x55, sizeof(frame));
    rarp_frame(mac, frame);
    assert_memory_equal(frame, want, sizeof(frame));
}

static void interfaces_come_back_from_their_words(void **state)
{
    (void)state;
    struct xl_vif vif = {.devid = 3, .bridge = "xenbr0.100", .name = "web,1"}, got;
    char text[ANNOUNCE_VIF_BYTES];

    memcpy(vif.mac, mac, sizeof(mac));
    announce_vif_text(&vif, text);
    assert_string_equal(text, "3/00:16:3e:12:34:56/xenbr0.100/web,1");
    assert_int_equal(announce_vif_parse(text, &got), 0);
    assert_memory_equal(&got, &vif, sizeof(vif));
    /* As long as any. */
    vif = (struct xl_vif){
        .devid = UINT32_MAX, .bridge = "123456789012345", .name = "abcdefghijklmno"};
    announce_vif_text(&vif, text);
    assert_int_equal(announce_vif_parse(text, &got), 0);
    assert_memory_equal(&got, &vif, sizeof(vif));
}

static void other_words_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0",
        "0/00:16:3e:12:34:56",
        "0/00:16:3e:12:34:56/xenbr0",
        "0/00:16:3e:12:34/xenbr0/vif1.0",
        "0/00:16:3e:12:34:56/xenbr0/vif1.0/more",
        "0/00:16:3e:12:34:56/1234567890123456/vif1.0",
    };
    struct xl_vif got;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(announce_vif_parse(bad[i], &got), -EINVAL);
}

static void the_intervals_grow(void **state)
{
    (void)state;
    assert_int_equal(announce_pause_ns(0), 0);
    assert_int_equal(announce_pause_ns(1), 0);
    for (unsigned round = 2; round < ANNOUNCE_ROUNDS; round++)
        assert_true(announce_pause_ns(round) >= announce_pause_ns(round - 1) + 100 * NS_PER_MS);
}

/* --- which interfaces --- */

static libxl_domain_config config;

static libxl_device_nic *add_nic(void)
{
    libxl_device_nic *nic = &config.nics[config.num_nics];

    libxl_device_nic_init(nic);
    nic->devid = config.num_nics++;
    memcpy(nic->mac, mac, sizeof(mac));
    return nic;
}

static int make_config(void **state)
{
    (void)state;
    libxl_domain_config_init(&config);
    config.nics = calloc(XL_MAX_VIFS + 1, sizeof(*config.nics));
    return config.nics ? 0 : -1;
}

static int drop_config(void **state)
{
    (void)state;
    libxl_domain_config_dispose(&config);
    return 0;
}

static void bridged_interfaces_are_announced(void **state)
{
    (void)state;
    struct xl_vif vifs[XL_MAX_VIFS];
    libxl_device_nic *nic = add_nic();

    nic->bridge = strdup("br1");
    nic->script = strdup("/etc/xen/scripts/vif-bridge");
    nic = add_nic(); /* what libxl makes of nothing said */
    nic->ifname = strdup("web1");
    assert_int_equal(xl_config_bridged_vifs(&config, 7, vifs), 2);
    assert_string_equal(vifs[0].bridge, "br1");
    assert_string_equal(vifs[0].name, "vif7.0");
    assert_memory_equal(vifs[0].mac, mac, sizeof(mac));
    assert_int_equal(vifs[1].devid, 1);
    assert_string_equal(vifs[1].bridge, "xenbr0");
    assert_string_equal(vifs[1].name, "web1");
}

static void others_are_not(void **state)
{
    (void)state;
    struct xl_vif vifs[XL_MAX_VIFS];

    add_nic()->script = strdup("/etc/xen/scripts/vif-route");
    add_nic()->script = strdup("vif-openvswitch");
    add_nic()->gatewaydev = strdup("eth0");
    add_nic()->backend_domid = 3;
    add_nic()->backend_domname = strdup("netdom");
    add_nic()->bridge = strdup("a-name-that-is-too-long");
    assert_int_equal(xl_config_bridged_vifs(&config, 7, vifs), 0);
}

static void there_is_room_for_so_many_and_no_more(void **state)
{
    (void)state;
    struct xl_vif vifs[XL_MAX_VIFS];

    for (unsigned i = 0; i < XL_MAX_VIFS + 1; i++)
        add_nic();
    assert_int_equal(xl_config_bridged_vifs(&config, 7, vifs), XL_MAX_VIFS);
}

int main(void)
{
#define WITH_CONFIG(f) cmocka_unit_test_setup_teardown(f, make_config, drop_config)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_frame_is_a_rarp_request_from_the_guest),
        cmocka_unit_test(interfaces_come_back_from_their_words),
        cmocka_unit_test(other_words_are_refused),
        cmocka_unit_test(the_intervals_grow),
        WITH_CONFIG(bridged_interfaces_are_announced),
        WITH_CONFIG(others_are_not),
        WITH_CONFIG(there_is_room_for_so_many_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
