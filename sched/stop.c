#include "sched/stop.h"

/* Nanoseconds that pages take at that speed; INT64_MAX when that is unknown or absurd. */
static int64_t pages_ns(double pages, double pages_per_s)
{
    if (pages <= 0)
        return 0;
    if (pages_per_s <= 0)
        return INT64_MAX;

    const double ns = pages / pages_per_s * 1e9;

    return ns < (double)(INT64_MAX / 4) ? (int64_t)ns : INT64_MAX;
}

static int64_t add_saturated(int64_t a_ns, int64_t b_ns)
{
    int64_t sum_ns;

    return __builtin_add_overflow(a_ns, b_ns, &sum_ns) ? INT64_MAX : sum_ns;
}

struct stop_decision decide_stop(struct stop_input in)
{
    /* The guest goes on dirtying while it is being suspended. */
    const double late_pages = in.dirty_pages_per_s * (double)in.suspend_ns / 1e9;
    const double last_pages = (double)in.left_pages + late_pages;
    const int64_t copy_ns = pages_ns(last_pages, in.send_pages_per_s);

    int64_t fixed_ns = add_saturated(in.suspend_ns, in.clean_ns);

    fixed_ns = add_saturated(fixed_ns, in.state_ns);
    fixed_ns = add_saturated(fixed_ns, in.receiver_ns);

    struct stop_decision d = {STOP_CONTINUE, add_saturated(fixed_ns, copy_ns)};

    if (d.predicted_downtime_ns <= in.max_downtime_ns)
        d.reason = STOP_DOWNTIME;
    else if (copy_ns < fixed_ns / STOP_FLOOR_SHARE)
        d.reason = STOP_FLOOR;
    else if (in.max_rounds && in.rounds_done >= in.max_rounds)
        d.reason = STOP_ROUNDS;
    return d;
}

const char *stop_reason_name(enum stop_reason reason)
{
    switch (reason) {
    case STOP_DOWNTIME:
        return "downtime";
    case STOP_FLOOR:
        return "floor";
    case STOP_ROUNDS:
        return "rounds";
    default:
        return "continue";
    }
}
