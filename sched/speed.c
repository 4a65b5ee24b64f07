#include "sched/speed.h"

double pages_per_s(uint64_t pages, int64_t span_ns)
{
    return span_ns > 0 ? (double)pages * 1e9 / (double)span_ns : 0;
}

double estimate_speed(double before_pages_per_s, uint64_t round_pages, int64_t round_ns)
{
    const double measured = pages_per_s(round_pages, round_ns);

    return round_pages < SPEED_MIN_PAGES && measured < before_pages_per_s ? before_pages_per_s
                                                                          : measured;
}
