/* SPDX-License-Identifier: MIT */
/* A PV guest at the destination that is prepared while its pages come: where it has its rings, what
 * they are given, and what its pages say of them. */
#include "engine/guest/load.h"
#include "engine/guest/pv_load.h"
#include "engine/in/place.h"
#include "tests/unit/fake_xen.h"
#include "transport/v3.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <xen/hvm/params.h>
#include <cmocka.h>

enum { FRAMES = 512, STORE = 33, CONSOLE = 44 };

struct fixture {
    struct loader_params params;
    struct loader l;
    struct placer *placer;
    struct err e;
};

static struct fixture f;

static int give(uint32_t type, const void *body, size_t len_bytes)
{
    const struct in_event event = {
        .kind = IN_STATE, .v3_type = type, .body = body, .len_bytes = len_bytes};

    f.e = (struct err)ERR_INIT;
    return load_state(&f.l, &event, &f.e);
}

static int give_params(const struct v3_hvm_param *params, unsigned count)
{
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES];

    return give(V3_HVM_PARAMS, body, v3_encode_hvm_params(params, count, body));
}

static int give_rings(uint64_t store, uint64_t console)
{
    const struct v3_hvm_param params[] = {
        {HVM_PARAM_STORE_PFN, store}, {HVM_PARAM_CONSOLE_PFN, console}};

    return give_params(params, 2);
}

static int prepare(struct guest_rings *rings)
{
    f.e = (struct err)ERR_INIT;
    return load_prepare(&f.l, rings, &f.e);
}

static void give_p2m(void)
{
    const struct v3_pv_info info = {8, 4};
    uint64_t pfn = 1;
    uint8_t head[V3_PV_INFO_BYTES];
    _Alignas(8) uint8_t body[V3_P2M_FRAMES_BYTES + sizeof(pfn)];

    v3_encode_pv_info(&info, head);
    assert_int_equal(give(V3_X86_PV_INFO, head, sizeof(head)), 0);
    f.l.static_done = true;
    v3_encode_p2m_frames(0, FRAMES - 1, body);
    memcpy(body + V3_P2M_FRAMES_BYTES, &pfn, sizeof(pfn));
    assert_int_equal(give(V3_X86_PV_P2M_FRAMES, body, sizeof(body)), 0);
}

static int set_up(void **state)
{
    (void)state;
    fake_xen_begin(FRAMES);
    f = (struct fixture){.params = {.domid = FAKE_DEST}, .e = ERR_INIT};
    f.l = (struct loader){
        .p = &f.params, .domain = {.domid = FAKE_DEST, .width_bytes = 8, .max_pages = FRAMES}};
    return pv_load_open(&f.l, &f.e);
}

static int tear_down(void **state)
{
    (void)state;
    placer_destroy(f.placer);
    load_close(&f.l);
    fake_xen_end();
    return 0;
}

/* Content of the type libxc gives it, for one frame. */
static int place(uint64_t pfn, uint64_t type, const void *content)
{
    const uint64_t entry = type << 60 | pfn;

    f.e = (struct err)ERR_INIT;
    if (!f.placer)
        assert_int_equal(placer_create(&f.placer, &f.l.frames, NULL, &f.e), 0);

    int rc = place_begin(f.placer, &entry, 1, &f.e);

    if (!rc && f.placer->into[0])
        memcpy(f.placer->into[0], content, FAKE_PAGE_BYTES);
    if (!rc)
        rc = place_commit(f.placer, &entry, 1, &f.e);
    place_end(f.placer);
    return rc;
}

static void test_rings_get_memory_that_is_cleared(void **state)
{
    (void)state;
    struct guest_rings rings = {0};

    give_p2m();
    assert_int_equal(give_rings(STORE, CONSOLE), 0);
    assert_int_equal(prepare(&rings), 0);
    assert_int_equal(rings.store_gfn, STORE);
    assert_int_equal(rings.console_gfn, CONSOLE);
    for (unsigned i = 0; i < FAKE_PAGE_BYTES; i++) {
        assert_int_equal(fake_xen_page(FAKE_DEST, STORE)[i], 0);
        assert_int_equal(fake_xen_page(FAKE_DEST, CONSOLE)[i], 0);
    }
    assert_int_equal(prepare(&rings), -EPROTO);
    assert_int_equal(fake_xen_populated(STORE), 1);
}

static void test_prepare_wants_to_know_where_they_are(void **state)
{
    (void)state;
    struct guest_rings rings = {0};

    give_p2m();
    assert_int_equal(prepare(&rings), -EPROTO);
    assert_string_equal(f.e.text, "PREPARE came without HVM_PARAMS");
}

static void test_rings_come_once_and_behind_the_p2m(void **state)
{
    (void)state;
    assert_int_equal(give_rings(STORE, CONSOLE), -EPROTO);
    give_p2m();
    assert_int_equal(give_rings(STORE, CONSOLE), 0);
    assert_int_equal(give_rings(STORE, CONSOLE), -EPROTO);
}

static void test_only_two_frames_of_the_guests_are_rings(void **state)
{
    (void)state;
    const struct v3_hvm_param others[] = {
        {HVM_PARAM_STORE_PFN, STORE}, {HVM_PARAM_CONSOLE_PFN, CONSOLE}, {HVM_PARAM_IOREQ_PFN, 5}};
    const struct v3_hvm_param turned[] = {others[1], others[0]};

    give_p2m();
    assert_int_equal(give_rings(STORE, FRAMES), -EPROTO);
    assert_int_equal(give_rings(UINT64_MAX, CONSOLE), -EPROTO);
    assert_int_equal(give_rings(STORE, STORE), -EPROTO);
    assert_int_equal(give_params(others, 3), -EPROTO);
    assert_int_equal(give_params(others, 1), -EPROTO);
    assert_int_equal(give_params(turned, 2), -EPROTO);
    assert_int_equal(f.l.frames.foreign_count, 0);
}

/* Somebody has them mapped: neither contents nor tables are put there. */
static void test_pages_do_not_touch_them(void **state)
{
    (void)state;
    static _Alignas(8) uint8_t content[FAKE_PAGE_BYTES];
    struct guest_rings rings;

    memset(content, 0x5a, sizeof(content));
    give_p2m();
    assert_int_equal(give_rings(STORE, CONSOLE), 0);
    assert_int_equal(prepare(&rings), 0);
    assert_int_equal(place(STORE, V3_PAGE_NOTAB, content), 0);
    assert_int_equal(fake_xen_page(FAKE_DEST, STORE)[0], 0);
    assert_int_equal(place(STORE + 1, V3_PAGE_NOTAB, content), 0);
    assert_int_equal(fake_xen_page(FAKE_DEST, STORE + 1)[0], 0x5a);

    memset(content, 0, sizeof(content));
    assert_int_equal(place(CONSOLE, V3_PAGE_L1TAB, content), -EPROTO);
    assert_non_null(strstr(f.e.text, "is a ring and a page table"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_rings_get_memory_that_is_cleared),
        TEST(test_prepare_wants_to_know_where_they_are),
        TEST(test_rings_come_once_and_behind_the_p2m),
        TEST(test_only_two_frames_of_the_guests_are_rings),
        TEST(test_pages_do_not_touch_them),
    };

    return cmocka_run_group_tests_name("pv prepare", tests, NULL, NULL);
}
