/* SPDX-License-Identifier: MIT */
/* A PV guest's p2m and m2p, of both widths: whose frame is it, and what its vCPUs' registers
 * become. The maps are plain memory here. */
#include "engine/guest/page_any.h"
#include "engine/guest/pv_memory.h"
#include "engine/guest/pv_save_vcpu.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* PFN p lies at MFN p + BASE, but PFN HOLE has none; MFN STALE says it is PFN 1, which is
 * elsewhere; OTHERS belongs to another domain, XENS to none. */
enum { PFNS = 16, BASE = 100, HOLE = 9, STALE = 3, OTHERS = 5, XENS = 6, MFNS = 200 };

struct world {
    uint64_t m2p[MFNS], p2m64[PFNS];
    uint32_t p2m32[PFNS];
    struct pv_memory m;
};

static void build(struct world *w, unsigned width)
{
    memset(w->m2p, 0xff, sizeof(w->m2p));
    for (uint64_t pfn = 0; pfn < PFNS; pfn++) {
        w->p2m64[pfn] = pfn == HOLE ? UINT64_MAX : pfn + BASE;
        w->p2m32[pfn] = pfn == HOLE ? UINT32_MAX : (uint32_t)pfn + BASE;
        if (pfn != HOLE)
            w->m2p[pfn + BASE] = pfn;
    }
    w->m2p[STALE] = 1;
    w->m2p[OTHERS] = 0x12345;
    w->m = (struct pv_memory){
        .domid = 7,
        .width_bytes = width,
        .levels = width == 8 ? 4 : 3,
        .m2p = {.pfns = w->m2p, .entries = MFNS},
        .p2m = width == 8 ? (const void *)w->p2m64 : (const void *)w->p2m32,
        .max_pfn = PFNS - 1,
    };
}

static void test_own_frames_translate_both_ways(void **state)
{
    (void)state;
    struct world w;

    for (unsigned width = 4; width <= 8; width += 4) {
        uint64_t pfn;

        build(&w, width);
        assert_int_equal(pv_pfn_to_mfn(&w.m, 4), BASE + 4);
        assert_true(pv_mfn_to_pfn(&w.m, BASE + 4, &pfn));
        assert_int_equal(pfn, 4);
    }
}

static void test_a_hole_and_marked_entries_have_no_frame(void **state)
{
    (void)state;
    struct world w;

    build(&w, 4);
    assert_int_equal(pv_pfn_to_mfn(&w.m, HOLE), PV_NO_FRAME);
    build(&w, 8);
    assert_int_equal(pv_pfn_to_mfn(&w.m, HOLE), PV_NO_FRAME);
    w.p2m64[2] |= 1ull << 62; /* Linux: identity */
    assert_int_equal(pv_pfn_to_mfn(&w.m, 2), PV_NO_FRAME);
}

static void test_what_is_not_the_guests_does_not_translate(void **state)
{
    (void)state;
    struct world w;
    uint64_t pfn;

    build(&w, 8);
    assert_false(pv_mfn_to_pfn(&w.m, STALE, &pfn));
    assert_false(pv_mfn_to_pfn(&w.m, OTHERS, &pfn));
    assert_false(pv_mfn_to_pfn(&w.m, XENS, &pfn));
    assert_false(pv_mfn_to_pfn(&w.m, MFNS, &pfn));
    assert_false(pv_mfn_to_pfn(&w.m, UINT64_MAX, &pfn));
}

static void test_foreign_is_what_another_domain_or_a_device_has(void **state)
{
    (void)state;
    struct world w;

    build(&w, 8);
    assert_false(pv_mfn_is_foreign(&w.m, BASE + 1));
    assert_false(pv_mfn_is_foreign(&w.m, XENS));
    assert_true(pv_mfn_is_foreign(&w.m, OTHERS));
    assert_true(pv_mfn_is_foreign(&w.m, MFNS + 5));
}

static vcpu_guest_context_any_t registers(unsigned width)
{
    vcpu_guest_context_any_t c = {0};

    set_any(&c, user_regs.edx, BASE + 2, width);
    set_any(&c, gdt_ents, 513, width); /* two frames */
    set_any(&c, gdt_frames[0], BASE + 3, width);
    set_any(&c, gdt_frames[1], BASE + 4, width);
    set_any(&c, gdt_frames[2], 0xdead, width);
    set_any(&c, ctrlreg[3], frame_to_cr3(BASE + 5, width), width);
    return c;
}

static void test_registers_name_the_guests_own_frames(void **state)
{
    (void)state;
    struct world w;

    for (unsigned width = 4; width <= 8; width += 4) {
        vcpu_guest_context_any_t c = registers(width);
        struct err e = ERR_INIT;

        build(&w, width);
        assert_int_equal(canonicalise_vcpu(&w.m, 0, &c, &e), 0);
        assert_int_equal(get_any(&c, user_regs.edx, width), 2);
        assert_int_equal(get_any(&c, gdt_frames[0], width), 3);
        assert_int_equal(get_any(&c, gdt_frames[1], width), 4);
        assert_int_equal(get_any(&c, gdt_frames[2], width), 0xdead);
        assert_int_equal(cr3_to_frame(get_any(&c, ctrlreg[3], width), width), 5);
    }
}

static void test_user_page_tables_keep_their_mark(void **state)
{
    (void)state;
    struct world w;
    vcpu_guest_context_any_t c = registers(8);
    struct err e = ERR_INIT;

    build(&w, 8);
    c.x64.ctrlreg[1] = (uint64_t)BASE << 12;
    assert_int_equal(canonicalise_vcpu(&w.m, 0, &c, &e), 0);
    assert_int_equal(c.x64.ctrlreg[1], 1); /* PFN 0, and set */
}

static void test_only_vcpu_0_has_start_info_in_edx(void **state)
{
    (void)state;
    struct world w;
    vcpu_guest_context_any_t c = registers(8);
    struct err e = ERR_INIT;

    build(&w, 8);
    c.x64.user_regs.rdx = 0x1122334455667788;
    assert_int_equal(canonicalise_vcpu(&w.m, 1, &c, &e), 0);
    assert_int_equal(c.x64.user_regs.rdx, 0x1122334455667788);
}

static void expect_refused(vcpu_guest_context_any_t c, const char *words)
{
    struct world w;
    struct err e = ERR_INIT;

    build(&w, 8);
    assert_int_equal(canonicalise_vcpu(&w.m, 0, &c, &e), -ERANGE);
    assert_int_equal(e.class, ERR_GUEST);
    assert_non_null(strstr(e.text, words));
    assert_non_null(strstr(e.text, "domain 7"));
}

static void test_registers_with_foreign_frames_are_refused(void **state)
{
    (void)state;
    vcpu_guest_context_any_t c = registers(8);

    c.x64.user_regs.edx = OTHERS;
    expect_refused(c, "start_info");
    c = registers(8);
    c.x64.gdt_frames[1] = STALE;
    expect_refused(c, "GDT");
    c = registers(8);
    c.x64.gdt_ents = 20000;
    expect_refused(c, "20000");
    c = registers(8);
    c.x64.ctrlreg[3] = (uint64_t)XENS << 12;
    expect_refused(c, "cr3");
    c = registers(8);
    c.x64.ctrlreg[1] = (uint64_t)OTHERS << 12;
    expect_refused(c, "cr1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_frames_translate_both_ways),
        cmocka_unit_test(test_a_hole_and_marked_entries_have_no_frame),
        cmocka_unit_test(test_what_is_not_the_guests_does_not_translate),
        cmocka_unit_test(test_foreign_is_what_another_domain_or_a_device_has),
        cmocka_unit_test(test_registers_name_the_guests_own_frames),
        cmocka_unit_test(test_user_page_tables_keep_their_mark),
        cmocka_unit_test(test_only_vcpu_0_has_start_info_in_edx),
        cmocka_unit_test(test_registers_with_foreign_frames_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
