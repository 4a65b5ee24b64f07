/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/option_values.h"

#include "base/deadline.h"
#include "base/units.h"
#include "sched/bucket.h"

#include <errno.h>
#include <string.h>

#define LEAST_DELTA_CACHE_BYTES (1 << 20)
#define MAX_LIMIT_NS            (24 * 3600 * NS_PER_S)

int option_take_limit(
    int64_t *ns, const char *text, int64_t least_ns, const struct option_rule *r, struct err *e)
{
    int64_t n;

    if (!parse_duration_ns(text, &n) || n < least_ns || n > MAX_LIMIT_NS)
        return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    *ns = n;
    return 0;
}

int option_take_number(unsigned *value, const char *text, unsigned least, unsigned most,
    const struct option_rule *r, struct err *e)
{
    uint64_t n;

    if (!parse_u64(text, least, most, &n))
        return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    *value = (unsigned)n;
    return 0;
}

int option_take_bandwidth(
    uint64_t *bits_per_s, const char *text, const struct option_rule *r, struct err *e)
{
    if (!parse_rate_bits(text, bits_per_s) || *bits_per_s < BUCKET_LEAST_BITS_PER_S ||
        *bits_per_s > INT64_MAX)
        return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    return 0;
}

int option_take_size(uint64_t *bytes, const char *text, const struct option_rule *r, struct err *e)
{
    if (!parse_size_bytes(text, bytes) || !*bytes || *bytes > INT64_MAX)
        return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    return 0;
}

int option_take_delta_cache(
    uint64_t *bytes, const char *text, const struct option_rule *r, struct err *e)
{
    if (!parse_size_bytes(text, bytes) || (*bytes && *bytes < LEAST_DELTA_CACHE_BYTES) ||
        *bytes > INT64_MAX)
        return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    return 0;
}

int option_take_on_stall(
    enum on_stall *on_stall, const char *text, const struct option_rule *r, struct err *e)
{
    return on_stall_parse(text, on_stall)
               ? 0
               : option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
}
