/* SPDX-License-Identifier: MIT */
#include "engine/in/order.h"

#include "transport/v3.h"

static bool is_head_state(uint32_t v3_type)
{
    switch (v3_type) {
    case V3_X86_PV_INFO:
    case V3_X86_CPUID_POLICY:
    case V3_X86_MSR_POLICY:
    case V3_KERNEL_NOTES:
    case V3_STATIC_DATA_END:
    case V3_X86_PV_P2M_FRAMES:
        return true;
    default:
        return false;
    }
}

/* HVM_PARAMS may come early, for a guest that is prepared. */
static bool is_in_place(enum trunk_phase phase, uint32_t v3_type)
{
    if (v3_type == V3_HVM_PARAMS)
        return phase == PHASE_HEAD_STATES || phase == PHASE_TAIL_STATES;
    return phase == (is_head_state(v3_type) ? PHASE_HEAD_STATES : PHASE_TAIL_STATES);
}

enum trunk_phase trunk_next_phase(enum trunk_phase phase, enum record_type type, uint32_t v3_type)
{
    switch (type) {
    case RECORD_STATE:
        return is_in_place(phase, v3_type) ? phase : PHASE_OUT_OF_ORDER;
    case RECORD_AUX_SOURCE:
        return phase == PHASE_HEAD_STATES ? phase : PHASE_OUT_OF_ORDER;
    case RECORD_AUX_DONE:
        return phase == PHASE_TAIL_STATES ? phase : PHASE_OUT_OF_ORDER;
    case RECORD_PREPARE:
        return phase == PHASE_PAGES ? phase : PHASE_OUT_OF_ORDER;
    case RECORD_ROUND:
        return phase == PHASE_HEAD_STATES || phase == PHASE_PAGES ? PHASE_PAGES
                                                                  : PHASE_OUT_OF_ORDER;
    case RECORD_LANES_DONE:
        return phase == PHASE_HEAD_STATES || phase == PHASE_PAGES ? PHASE_TAIL_STATES
                                                                  : PHASE_OUT_OF_ORDER;
    case RECORD_END:
        return phase == PHASE_TAIL_STATES ? PHASE_ENDED : PHASE_OUT_OF_ORDER;
    default:
        return PHASE_OUT_OF_ORDER;
    }
}

const char *trunk_phase_name(enum trunk_phase phase)
{
    switch (phase) {
    case PHASE_HEAD_STATES:
        return "before the pages";
    case PHASE_PAGES:
        return "among the pages";
    case PHASE_TAIL_STATES:
        return "after the pages";
    default:
        return "after the end";
    }
}
