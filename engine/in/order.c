#include "engine/in/order.h"

#include "transport/v3.h"

static bool is_head_state(uint32_t v3_type)
{
    switch (v3_type) {
    case V3_X86_PV_INFO:
    case V3_X86_CPUID_POLICY:
    case V3_X86_MSR_POLICY:
    case V3_STATIC_DATA_END:
    case V3_X86_PV_P2M_FRAMES:
        return true;
    default:
        return false;
    }
}

enum feed_phase feed_next_phase(enum feed_phase phase, enum record_type type, uint32_t v3_type)
{
    switch (type) {
    case RECORD_STATE:
        if (phase == FEED_HEAD_STATES && is_head_state(v3_type))
            return phase;
        if (phase == FEED_TAIL_STATES && !is_head_state(v3_type))
            return phase;
        return FEED_OUT_OF_ORDER;
    case RECORD_ROUND:
        return phase == FEED_HEAD_STATES || phase == FEED_PAGES ? FEED_PAGES : FEED_OUT_OF_ORDER;
    case RECORD_LANES_DONE:
        return phase == FEED_HEAD_STATES || phase == FEED_PAGES ? FEED_TAIL_STATES
                                                                : FEED_OUT_OF_ORDER;
    case RECORD_END:
        return phase == FEED_TAIL_STATES ? FEED_ENDED : FEED_OUT_OF_ORDER;
    default:
        return FEED_OUT_OF_ORDER;
    }
}

const char *feed_phase_name(enum feed_phase phase)
{
    switch (phase) {
    case FEED_HEAD_STATES:
        return "before the pages";
    case FEED_PAGES:
        return "among the pages";
    case FEED_TAIL_STATES:
        return "after the pages";
    default:
        return "after the end";
    }
}
