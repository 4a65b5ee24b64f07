/* SPDX-License-Identifier: MIT */
/* From the stream's page tables to this host's: which entries become machine frames, and which
 * tables are refused. */
#include "engine/guest/pte.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { GUEST_FRAMES = 64, UNPOPULATED = 7 };

/* Frame p lies at machine frame p + 0x1000, but for one that was never populated. */
static bool find_mfn(void *arg, uint64_t pfn, uint64_t *mfn)
{
    (void)arg;
    if (pfn >= GUEST_FRAMES || pfn == UNPOPULATED)
        return false;
    *mfn = pfn + 0x1000;
    return true;
}

static struct pte_rules rules_of(unsigned levels)
{
    return (struct pte_rules){.levels = levels, .translate = find_mfn};
}

static uint64_t pte_of(uint64_t frame, uint64_t flags)
{
    return frame << 12 | flags;
}

static void test_present_entries_name_machine_frames(void **state)
{
    (void)state;
    const struct pte_rules rules = rules_of(4);
    uint64_t table[PTES_PER_PAGE] = {0};
    struct pte_fault fault;

    table[0] = pte_of(3, PTE_PRESENT | 0x66);
    table[511] = pte_of(63, PTE_PRESENT | 1ull << 63);
    assert_int_equal(localise_page(&rules, 1, table, &fault), 0);
    assert_int_equal(table[0], pte_of(0x1003, PTE_PRESENT | 0x66));
    assert_int_equal(table[511], pte_of(0x103f, PTE_PRESENT | 1ull << 63));
    assert_int_equal(table[1], 0);
}

/* A swap entry is the guest's own business, whatever it looks like. */
static void test_absent_entries_stay(void **state)
{
    (void)state;
    const struct pte_rules rules = rules_of(4);
    const uint64_t swap = pte_of(0xfffffff, 0x1f8);
    uint64_t table[PTES_PER_PAGE] = {[9] = swap};
    struct pte_fault fault;

    assert_int_equal(localise_page(&rules, 1, table, &fault), 0);
    assert_int_equal(table[9], swap);
}

static void test_pae_tables_are_the_same_words(void **state)
{
    (void)state;
    const struct pte_rules rules = rules_of(3);
    uint64_t table[PTES_PER_PAGE] = {[3] = pte_of(5, PTE_PRESENT)};
    struct pte_fault fault;

    assert_int_equal(localise_page(&rules, 1, table, &fault), 0);
    assert_int_equal(table[3], pte_of(0x1005, PTE_PRESENT));
}

static void test_a_frame_without_memory_is_named(void **state)
{
    (void)state;
    const struct pte_rules rules = rules_of(4);
    uint64_t table[PTES_PER_PAGE] = {[100] = pte_of(UNPOPULATED, PTE_PRESENT)};
    struct pte_fault fault;

    assert_int_equal(localise_page(&rules, 1, table, &fault), -ERANGE);
    assert_int_equal(fault.index, 100);
    assert_int_equal(fault.pte, pte_of(UNPOPULATED, PTE_PRESENT));
}

/* By its kernel's notes; in a table of level 1 alone. */
static void test_absent_entries_that_are_marked_name_frames_too(void **state)
{
    (void)state;
    struct pte_rules rules = rules_of(4);
    const uint64_t marked = pte_of(8, 0x402), other = pte_of(8, 0x400);
    uint64_t table[PTES_PER_PAGE] = {[4] = marked, [5] = other}, upper[PTES_PER_PAGE];
    struct pte_fault fault;
    unsigned index;

    rules.marks.count = 1;
    rules.marks.of[0].mask = 0x403;
    rules.marks.of[0].value = 0x402;
    memcpy(upper, table, sizeof(upper));
    assert_true(find_pte_beyond(&rules.marks, 1, table, 7, &index));
    assert_int_equal(index, 4);
    assert_false(find_pte_beyond(&rules.marks, 2, table, 7, &index));
    assert_int_equal(localise_page(&rules, 1, table, &fault), 0);
    assert_int_equal(table[4], pte_of(0x1008, 0x402));
    assert_int_equal(table[5], other);
    assert_int_equal(localise_page(&rules, 2, upper, &fault), 0);
    assert_int_equal(upper[4], marked);
}

static void test_the_first_frame_beyond_the_guest_is_found(void **state)
{
    (void)state;
    static const struct pte_marks none;
    uint64_t table[PTES_PER_PAGE] = {0};
    unsigned index = 0;

    table[4] = pte_of(GUEST_FRAMES - 1, PTE_PRESENT);
    table[5] = pte_of(1ull << 39, 0); /* absent: no matter */
    assert_false(find_pte_beyond(&none, 1, table, GUEST_FRAMES, &index));
    table[6] = pte_of(GUEST_FRAMES, PTE_PRESENT);
    table[7] = PTE_FRAME_MASK | PTE_PRESENT;
    assert_true(find_pte_beyond(&none, 1, table, GUEST_FRAMES, &index));
    assert_int_equal(index, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_present_entries_name_machine_frames),
        cmocka_unit_test(test_absent_entries_stay),
        cmocka_unit_test(test_pae_tables_are_the_same_words),
        cmocka_unit_test(test_a_frame_without_memory_is_named),
        cmocka_unit_test(test_absent_entries_that_are_marked_name_frames_too),
        cmocka_unit_test(test_the_first_frame_beyond_the_guest_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
