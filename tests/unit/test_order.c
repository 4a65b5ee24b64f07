/* SPDX-License-Identifier: MIT */
/* The trunk's order: what may come when. */
#include "engine/in/order.h"
#include "transport/v3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct step {
    enum record_type type;
    uint32_t v3_type;
    enum trunk_phase leads_to;
};

static void walk(const struct step *steps, size_t count)
{
    enum trunk_phase phase = PHASE_HEAD_STATES;

    for (size_t i = 0; i < count; i++) {
        phase = trunk_next_phase(phase, steps[i].type, steps[i].v3_type);
        assert_int_equal(phase, steps[i].leads_to);
    }
}

#define WALK(steps) walk(steps, sizeof(steps) / sizeof((steps)[0]))

static void test_a_pv_guest_in_order(void **state)
{
    (void)state;
    const struct step steps[] = {
        {RECORD_STATE, V3_X86_PV_INFO, PHASE_HEAD_STATES},
        {RECORD_STATE, V3_X86_CPUID_POLICY, PHASE_HEAD_STATES},
        {RECORD_STATE, V3_STATIC_DATA_END, PHASE_HEAD_STATES},
        {RECORD_STATE, V3_X86_PV_P2M_FRAMES, PHASE_HEAD_STATES},
        {RECORD_ROUND, 0, PHASE_PAGES},
        {RECORD_ROUND, 0, PHASE_PAGES},
        {RECORD_LANES_DONE, 0, PHASE_TAIL_STATES},
        {RECORD_STATE, V3_X86_TSC_INFO, PHASE_TAIL_STATES},
        {RECORD_STATE, V3_SHARED_INFO, PHASE_TAIL_STATES},
        {RECORD_STATE, V3_X86_PV_VCPU_BASIC, PHASE_TAIL_STATES},
        {RECORD_END, 0, PHASE_ENDED},
    };

    WALK(steps);
}

/* Pages may be applied only once what they need is there; vCPUs only when all pages are. */
static void test_states_have_their_side_of_the_pages(void **state)
{
    (void)state;
    static const uint32_t head[] = {V3_X86_PV_INFO, V3_X86_CPUID_POLICY, V3_X86_MSR_POLICY,
        V3_KERNEL_NOTES, V3_STATIC_DATA_END, V3_X86_PV_P2M_FRAMES};
    static const uint32_t tail[] = {V3_X86_TSC_INFO, V3_SHARED_INFO, V3_HVM_CONTEXT,
        V3_X86_PV_VCPU_BASIC, V3_X86_PV_VCPU_EXTENDED, V3_X86_PV_VCPU_XSAVE, V3_X86_PV_VCPU_MSRS};

    for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
        assert_int_equal(
            trunk_next_phase(PHASE_TAIL_STATES, RECORD_STATE, head[i]), PHASE_OUT_OF_ORDER);
        assert_int_equal(trunk_next_phase(PHASE_PAGES, RECORD_STATE, head[i]), PHASE_OUT_OF_ORDER);
    }
    for (size_t i = 0; i < sizeof(tail) / sizeof(tail[0]); i++) {
        assert_int_equal(
            trunk_next_phase(PHASE_HEAD_STATES, RECORD_STATE, tail[i]), PHASE_OUT_OF_ORDER);
        assert_int_equal(trunk_next_phase(PHASE_PAGES, RECORD_STATE, tail[i]), PHASE_OUT_OF_ORDER);
    }
}

/* A guest that is prepared has its parameters before the pages, and PREPARE among them. */
static void test_a_guest_is_prepared_while_pages_come(void **state)
{
    (void)state;
    const struct step steps[] = {
        {RECORD_STATE, V3_STATIC_DATA_END, PHASE_HEAD_STATES},
        {RECORD_STATE, V3_HVM_PARAMS, PHASE_HEAD_STATES},
        {RECORD_ROUND, 0, PHASE_PAGES},
        {RECORD_PREPARE, 0, PHASE_PAGES},
        {RECORD_ROUND, 0, PHASE_PAGES},
        {RECORD_LANES_DONE, 0, PHASE_TAIL_STATES},
        {RECORD_STATE, V3_HVM_CONTEXT, PHASE_TAIL_STATES},
        {RECORD_STATE, V3_HVM_PARAMS, PHASE_TAIL_STATES},
        {RECORD_END, 0, PHASE_ENDED},
    };

    WALK(steps);
    assert_int_equal(trunk_next_phase(PHASE_HEAD_STATES, RECORD_PREPARE, 0), PHASE_OUT_OF_ORDER);
    assert_int_equal(trunk_next_phase(PHASE_TAIL_STATES, RECORD_PREPARE, 0), PHASE_OUT_OF_ORDER);
    assert_int_equal(
        trunk_next_phase(PHASE_PAGES, RECORD_STATE, V3_HVM_PARAMS), PHASE_OUT_OF_ORDER);
}

static void test_marks_cannot_be_skipped_or_repeated(void **state)
{
    (void)state;
    assert_int_equal(trunk_next_phase(PHASE_HEAD_STATES, RECORD_END, 0), PHASE_OUT_OF_ORDER);
    assert_int_equal(trunk_next_phase(PHASE_PAGES, RECORD_END, 0), PHASE_OUT_OF_ORDER);
    assert_int_equal(trunk_next_phase(PHASE_TAIL_STATES, RECORD_LANES_DONE, 0), PHASE_OUT_OF_ORDER);
    assert_int_equal(trunk_next_phase(PHASE_TAIL_STATES, RECORD_ROUND, 0), PHASE_OUT_OF_ORDER);
}

static void test_records_of_elsewhere_have_no_place(void **state)
{
    (void)state;
    static const enum record_type others[] = {
        RECORD_HEAD, RECORD_RESULT, RECORD_PAGES, RECORD_BORDER, RECORD_LANE_END};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        for (int phase = PHASE_HEAD_STATES; phase < PHASE_ENDED; phase++)
            assert_int_equal(
                trunk_next_phase((enum trunk_phase)phase, others[i], 0), PHASE_OUT_OF_ORDER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pv_guest_in_order),
        cmocka_unit_test(test_states_have_their_side_of_the_pages),
        cmocka_unit_test(test_a_guest_is_prepared_while_pages_come),
        cmocka_unit_test(test_marks_cannot_be_skipped_or_repeated),
        cmocka_unit_test(test_records_of_elsewhere_have_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
