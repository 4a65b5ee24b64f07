/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suffix {
    const char *text;
    uint64_t factor;
};

static bool parse_suffixed(const char *text, const struct suffix *suffixes, uint64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;

    const unsigned long long n = strtoull(text, &end, 10);

    if (errno)
        return false;
    for (const struct suffix *s = suffixes; s->text; s++)
        if (!strcasecmp(end, s->text))
            return !__builtin_mul_overflow((uint64_t)n, s->factor, value);
    return false;
}

bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    static const struct suffix none[] = {{"", 1}, {NULL, 0}};
    uint64_t n;

    if (!parse_suffixed(text, none, &n) || n < min || n > max)
        return false;
    *value = n;
    return true;
}

bool parse_size_bytes(const char *text, uint64_t *bytes)
{
    static const struct suffix sizes[] = {{"", 1}, {"K", 1ull << 10}, {"M", 1ull << 20},
        {"G", 1ull << 30}, {"T", 1ull << 40}, {NULL, 0}};

    return parse_suffixed(text, sizes, bytes);
}

bool parse_rate_bits(const char *text, uint64_t *bits_per_s)
{
    static const struct suffix rates[] = {
        {"", 1}, {"K", 1000}, {"M", 1000000}, {"G", 1000000000}, {NULL, 0}};

    return parse_suffixed(text, rates, bits_per_s);
}

bool parse_duration_ns(const char *text, int64_t *ns)
{
    static const struct suffix times[] = {{"", 1000000000}, {"ns", 1}, {"us", 1000},
        {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {NULL, 0}};
    uint64_t n;

    if (!parse_suffixed(text, times, &n) || n > INT64_MAX)
        return false;
    *ns = (int64_t)n;
    return true;
}

/* Three significant digits, so that a column of figures reads evenly. */
static void print_scaled(char *buf, double v, const char *unit)
{
    const int digits = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;

    snprintf(buf, UNITS_TEXT_BYTES, "%.*f %s", digits, v, unit);
}

static void print_steps(char *buf, double v, double step, const char *const *units, int last)
{
    int i = 0;

    while (i < last && v >= step * 0.9995) {
        v /= step;
        i++;
    }
    if (i == 0)
        snprintf(buf, UNITS_TEXT_BYTES, "%.0f %s", v, units[0]);
    else
        print_scaled(buf, v, units[i]);
}

const char *format_bytes(uint64_t bytes, char buf[static UNITS_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};

    print_steps(buf, (double)bytes, 1024, units, 4);
    return buf;
}

const char *format_memory_rate(double bytes_per_s, char buf[static UNITS_TEXT_BYTES])
{
    static const char *const units[] = {"B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"};

    print_steps(buf, bytes_per_s, 1024, units, 4);
    return buf;
}

const char *format_wire_bytes(uint64_t bytes, char buf[static UNITS_TEXT_BYTES])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};

    print_steps(buf, (double)bytes, 1000, units, 4);
    return buf;
}

const char *format_rate(double bits_per_s, char buf[static UNITS_TEXT_BYTES])
{
    static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};

    print_steps(buf, bits_per_s, 1000, units, 4);
    return buf;
}

const char *format_duration(int64_t ns, char buf[static UNITS_TEXT_BYTES])
{
    const double v = (double)ns;

    if (v < 1e3)
        snprintf(buf, UNITS_TEXT_BYTES, "%.0f ns", v);
    else if (v < 1e6)
        print_scaled(buf, v / 1e3, "us");
    else if (v < 1e9)
        print_scaled(buf, v / 1e6, "ms");
    else
        print_scaled(buf, v / 1e9, "s");
    return buf;
}
