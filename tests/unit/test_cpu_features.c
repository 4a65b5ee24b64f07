/* SPDX-License-Identifier: MIT */
/* What a guest was told of its processor, and whether another host's has it. */
#include "engine/xen/cpu_features.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NONE XEN_CPUID_NO_SUBLEAF

static const xen_cpuid_leaf_t leaves[] = {
    {0x1, NONE, 0x306f2, 0x20800, 0x82982203, 0x178bfbff},
    {0x7, 0, 0, 0x202, 0, 0},
    {0x7, 1, 0x10, 0, 0, 0},
    {0xd, 0, 0x3, 0x240, 0x240, 0},
    {0xd, 1, 0x1, 0, 0, 0},
    {0x80000001, NONE, 0, 0, 0x1, 0x2993fbff},
};

static struct cpu_features all(void)
{
    return cpu_features_of(leaves, sizeof(leaves) / sizeof(leaves[0]));
}

static void a_host_that_has_all_suffices(void **state)
{
    const struct cpu_features f = all(), none = cpu_features_of(NULL, 0);
    char lack[CPU_FEATURES_LACK_BYTES];

    (void)state;
    assert_true(cpu_features_suffice(&f, &f, lack));
    assert_string_equal(lack, "");
    assert_true(cpu_features_suffice(&f, &none, lack));
}

static void what_it_lacks_is_named(void **state)
{
    static const struct {
        unsigned leaf; /* its place */
        uint32_t without_a, without_b, without_c, without_d;
        const char *words;
    } cases[] = {
        {0, 0, 0, 1 << 0, 0, "CPUID 0x1 ecx 0x1"},
        {0, 0, 0, 0, 1 << 26, "CPUID 0x1 edx 0x4000000"},
        {1, 0, 0x200, 0, 0, "CPUID 0x7 ebx 0x200"},
        {2, 0x10, 0, 0, 0, "CPUID 0x7.1 eax 0x10"},
        {3, 0x2, 0, 0, 0, "CPUID 0xd eax 0x2"},
        {4, 0x1, 0, 0, 0, "CPUID 0xd.1 eax 0x1"},
        {5, 0, 0, 0, 1 << 29, "CPUID 0x80000001 edx 0x20000000"},
        /* AMD's copy of leaf 1's. */
        {5, 0, 0, 0, 0x0183f3ff, ""},
        /* Which change with the guest: APIC, HTT, the hypervisor's. */
        {0, 0, 0, 1u << 31, 1 << 28 | 1 << 9, ""},
    };
    const struct cpu_features guest = all();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        xen_cpuid_leaf_t less[sizeof(leaves) / sizeof(leaves[0])];
        xen_cpuid_leaf_t *l = &less[cases[i].leaf];
        char lack[CPU_FEATURES_LACK_BYTES];

        memcpy(less, leaves, sizeof(less));
        l->a &= ~cases[i].without_a;
        l->b &= ~cases[i].without_b;
        l->c &= ~cases[i].without_c;
        l->d &= ~cases[i].without_d;

        const struct cpu_features host = cpu_features_of(less, sizeof(less) / sizeof(less[0]));

        assert_int_equal(cpu_features_suffice(&host, &guest, lack), !cases[i].words[0]);
        assert_string_equal(lack, cases[i].words);
    }
}

/* All of them at once are more than there is room for. */
static void a_long_list_is_cut(void **state)
{
    struct cpu_features guest, none = cpu_features_of(NULL, 0);
    char lack[CPU_FEATURES_LACK_BYTES];

    (void)state;
    memset(&guest, 0xff, sizeof(guest));
    assert_false(cpu_features_suffice(&none, &guest, lack));
    assert_int_equal(strlen(lack), sizeof(lack) - 1);
}

static void they_travel_as_text(void **state)
{
    const struct cpu_features f = all();
    char text[CPU_FEATURES_TEXT_BYTES];
    struct cpu_features again;

    (void)state;
    cpu_features_format(&f, text);
    assert_int_equal(strlen(text), sizeof(text) - 1);
    assert_true(cpu_features_parse(text, &again));
    assert_memory_equal(&again, &f, sizeof(f));
    /* From one that knows fewer words, or more. */
    text[16] = '\0';
    assert_true(cpu_features_parse(text, &again));
    assert_int_equal(again.words[1], f.words[1]);
    assert_int_equal(again.words[2], 0);
    text[15] = '\0';
    assert_false(cpu_features_parse(text, &again));
    assert_false(cpu_features_parse("nonsense", &again));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_has_all_suffices),
        cmocka_unit_test(what_it_lacks_is_named),
        cmocka_unit_test(a_long_list_is_cut),
        cmocka_unit_test(they_travel_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
