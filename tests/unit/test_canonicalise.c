/* SPDX-License-Identifier: MIT */
/* From a guest's page tables to the stream's: which entries become the guest's own frame numbers,
 * which are Xen's, and which tables have to wait. */
#include "engine/guest/pte.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { GUEST_FRAMES = 64, FIRST_MFN = 0x1000, FOREIGN_MFN = 0x9999, COMPAT_M2P = 0x77 };

/* Frame p of the guest lies at machine frame p + FIRST_MFN; nothing else is its own. */
static bool find_pfn(void *arg, uint64_t mfn, uint64_t *pfn)
{
    (void)arg;
    if (mfn < FIRST_MFN || mfn >= FIRST_MFN + GUEST_FRAMES)
        return false;
    *pfn = mfn - FIRST_MFN;
    return true;
}

static const struct pte_rules rules_64 = {
    .levels = 4, .compat_m2p_mfn = UINT64_MAX, .translate = find_pfn};
static const struct pte_rules rules_pae = {
    .levels = 3, .compat_m2p_mfn = COMPAT_M2P, .translate = find_pfn};

static uint64_t pte_of(uint64_t frame, uint64_t flags)
{
    return frame << 12 | flags;
}

struct tables {
    uint64_t src[PTES_PER_PAGE], dst[PTES_PER_PAGE];
    struct pte_fault fault;
};

static int run(const struct pte_rules *rules, unsigned level, struct tables *t)
{
    memset(t->dst, 0xa5, sizeof(t->dst));
    return canonicalise_page(rules, level, t->src, t->dst, &t->fault);
}

static void test_present_entries_name_the_guests_frames(void **state)
{
    (void)state;
    const uint64_t flags = PTE_PRESENT | 0xe66 | 1ull << 63 | 0x7full << 52;

    for (unsigned level = 1; level <= 3; level++) {
        struct tables t = {
            .src = {[0] = pte_of(FIRST_MFN, PTE_PRESENT), [5] = pte_of(FIRST_MFN + 63, flags)}};

        assert_int_equal(run(&rules_64, level, &t), 0);
        assert_int_equal(t.dst[0], PTE_PRESENT);
        assert_int_equal(t.dst[5], pte_of(63, flags));
        assert_int_equal(t.dst[1], 0);
    }
}

/* A swap entry is the guest's own business, whatever it looks like. */
static void test_absent_entries_are_copied_as_they_are(void **state)
{
    (void)state;
    struct tables t = {.src = {[7] = pte_of(FOREIGN_MFN, 0x80), [8] = ~PTE_PRESENT}};

    assert_int_equal(run(&rules_64, 2, &t), 0);
    assert_int_equal(t.dst[7], pte_of(FOREIGN_MFN, 0x80));
    assert_int_equal(t.dst[8], ~PTE_PRESENT);
}

static void test_xens_part_of_a_64_bit_root_is_left_out(void **state)
{
    (void)state;
    struct tables t = {0};

    for (unsigned i = 256; i <= 271; i++)
        t.src[i] = pte_of(FOREIGN_MFN, PTE_PRESENT);
    t.src[255] = t.src[272] = pte_of(FIRST_MFN + 1, PTE_PRESENT);
    assert_int_equal(run(&rules_64, 4, &t), 0);
    for (unsigned i = 256; i <= 271; i++)
        assert_int_equal(t.dst[i], 0);
    assert_int_equal(t.dst[255], pte_of(1, PTE_PRESENT));
    assert_int_equal(t.dst[272], pte_of(1, PTE_PRESENT));
}

static void test_the_same_slots_below_a_64_bit_root_are_the_guests(void **state)
{
    (void)state;
    struct tables t = {.src = {[256] = pte_of(FOREIGN_MFN, PTE_PRESENT)}};

    assert_int_equal(run(&rules_64, 3, &t), -EAGAIN);
    assert_int_equal(t.fault.index, 256);
}

static void test_only_four_entries_of_a_pae_root_are_the_guests(void **state)
{
    (void)state;
    struct tables t = {.src = {[3] = pte_of(FIRST_MFN + 3, PTE_PRESENT),
                           [4] = pte_of(FOREIGN_MFN, PTE_PRESENT),
                           [511] = pte_of(FIRST_MFN, PTE_PRESENT)}};

    assert_int_equal(run(&rules_pae, 3, &t), 0);
    assert_int_equal(t.dst[3], pte_of(3, PTE_PRESENT));
    assert_int_equal(t.dst[4], 0);
    assert_int_equal(t.dst[511], 0);
}

static void test_a_pae_l2_with_xens_slots_is_known_by_its_m2p(void **state)
{
    (void)state;
    struct tables t = {.src = {[427] = pte_of(FIRST_MFN + 2, PTE_PRESENT),
                           [428] = pte_of(COMPAT_M2P, PTE_PRESENT),
                           [511] = pte_of(FOREIGN_MFN, PTE_PRESENT)}};

    assert_int_equal(run(&rules_pae, 2, &t), 0);
    assert_int_equal(t.dst[427], pte_of(2, PTE_PRESENT));
    assert_int_equal(t.dst[428], 0);
    assert_int_equal(t.dst[511], 0);

    t.src[428] = pte_of(FIRST_MFN + 4, PTE_PRESENT);
    assert_int_equal(run(&rules_pae, 2, &t), -EAGAIN);
    assert_int_equal(t.fault.index, 511);
    t.src[511] = 0;
    assert_int_equal(run(&rules_pae, 2, &t), 0);
    assert_int_equal(t.dst[428], pte_of(4, PTE_PRESENT));
}

static void test_a_frame_that_is_not_the_guests_waits(void **state)
{
    (void)state;
    struct tables t = {.src = {[9] = pte_of(FOREIGN_MFN, PTE_PRESENT | 0x40)}};

    for (unsigned level = 1; level <= 4; level++) {
        assert_int_equal(run(&rules_64, level, &t), -EAGAIN);
        assert_int_equal(t.fault.index, 9);
        assert_int_equal(t.fault.pte, t.src[9]);
    }
}

static void test_superpages_are_refused_but_a_l1_has_pat_there(void **state)
{
    (void)state;
    struct tables t = {.src = {[1] = pte_of(FIRST_MFN, PTE_PRESENT | PTE_PSE)}};

    for (unsigned level = 2; level <= 4; level++)
        assert_int_equal(run(&rules_64, level, &t), -E2BIG);
    assert_int_equal(t.fault.index, 1);
    assert_int_equal(run(&rules_64, 1, &t), 0);
    assert_int_equal(t.dst[1], pte_of(0, PTE_PRESENT | PTE_PSE));
}

static void test_a_level_that_the_guest_cannot_have_is_refused(void **state)
{
    (void)state;
    struct tables t = {0};

    assert_int_equal(run(&rules_pae, 4, &t), -EINVAL);
    assert_int_equal(run(&rules_64, 5, &t), -EINVAL);
    assert_int_equal(run(&rules_64, 0, &t), -EINVAL);
}

static bool is_odd(const void *arg, uint64_t frame)
{
    (void)arg;
    return frame & 1;
}

static void test_find_pte_looks_at_entries_that_name_frames_only(void **state)
{
    (void)state;
    const uint64_t table[PTES_PER_PAGE] = {
        [0] = pte_of(4, PTE_PRESENT), [1] = pte_of(5, 0), [300] = pte_of(7, PTE_PRESENT)};
    const uint64_t even[PTES_PER_PAGE] = {[2] = pte_of(6, PTE_PRESENT)};
    static const struct pte_marks none;
    const struct pte_marks marks = {1, {{0xfff, 0x10}}};
    const uint64_t marked[PTES_PER_PAGE] = {[3] = pte_of(9, 0x10)};
    struct pte_fault fault;

    assert_true(find_pte(&marks, 1, marked, is_odd, NULL, &fault));
    assert_int_equal(fault.index, 3);
    assert_false(find_pte(&marks, 2, marked, is_odd, NULL, &fault));
    assert_true(find_pte(&none, 1, table, is_odd, NULL, &fault));
    assert_int_equal(fault.index, 300);
    assert_int_equal(fault.pte, pte_of(7, PTE_PRESENT));
    assert_false(find_pte(&none, 1, even, is_odd, NULL, &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_present_entries_name_the_guests_frames),
        cmocka_unit_test(test_absent_entries_are_copied_as_they_are),
        cmocka_unit_test(test_xens_part_of_a_64_bit_root_is_left_out),
        cmocka_unit_test(test_the_same_slots_below_a_64_bit_root_are_the_guests),
        cmocka_unit_test(test_only_four_entries_of_a_pae_root_are_the_guests),
        cmocka_unit_test(test_a_pae_l2_with_xens_slots_is_known_by_its_m2p),
        cmocka_unit_test(test_a_frame_that_is_not_the_guests_waits),
        cmocka_unit_test(test_superpages_are_refused_but_a_l1_has_pat_there),
        cmocka_unit_test(test_a_level_that_the_guest_cannot_have_is_refused),
        cmocka_unit_test(test_find_pte_looks_at_entries_that_name_frames_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
