/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/limits.h"

#include "base/units.h"

#include <errno.h>

#define usage(e, ...) err_set(e, ERR_USAGE, EINVAL, __VA_ARGS__)

int limits_check(const struct decide_limits *l, struct err *e)
{
    char time[UNITS_TEXT_BYTES], downtime[UNITS_TEXT_BYTES];

    if (l->max_time_ns && l->max_time_ns <= l->max_downtime_ns)
        return usage(e,
            "--max-time %s and --max-downtime %s contradict each other: the pause is part of the "
            "time",
            format_duration(l->max_time_ns, time), format_duration(l->max_downtime_ns, downtime));
    if (!l->max_downtime_ns && l->on_stall == ON_STALL_ABORT)
        return usage(e, "--max-downtime 0 and --on-stall abort contradict each other: there is "
                        "always some downtime, so it could only be given up");
    if (l->on_stall != ON_STALL_THROTTLE)
        return 0;
    if (!l->max_downtime_ns)
        return usage(e, "--max-downtime 0 and --on-stall throttle contradict each other: there is "
                        "always some downtime, so the guest would be slowed down in vain");
    if (l->max_rounds && l->max_rounds < DECIDE_THROTTLE_ROUNDS)
        return usage(e,
            "--max-rounds %u and --on-stall throttle contradict each other: with fewer than %u "
            "rounds the guest would be suspended before it could be slowed down",
            l->max_rounds, DECIDE_THROTTLE_ROUNDS);
    return 0;
}
