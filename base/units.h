/* SPDX-License-Identifier: MIT */
/*
 * Sizes, rates and times as people write and read them. Sizes are binary (1G is 2^30 bytes),
 * rates are decimal bits a second (1G is 10^9), times take ns, us, ms, s, m (plain: seconds).
 * Parsers return false for anything but one whole number with one known suffix in range.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value);
bool parse_size_bytes(const char *text, uint64_t *bytes);
bool parse_rate_bits(const char *text, uint64_t *bits_per_s);
bool parse_duration_ns(const char *text, int64_t *ns);

enum { UNITS_TEXT_BYTES = 32 };

/* Each returns its buffer: "312 ms"; of memory and files "1.50 GiB", "350 MiB/s"; of the wire
 * "1.61 GB", "9.41 Gbit/s", so that figures of the two cannot be taken for each other. */
const char *format_bytes(uint64_t bytes, char buf[static UNITS_TEXT_BYTES]);
const char *format_memory_rate(double bytes_per_s, char buf[static UNITS_TEXT_BYTES]);
const char *format_wire_bytes(uint64_t bytes, char buf[static UNITS_TEXT_BYTES]);
const char *format_rate(double bits_per_s, char buf[static UNITS_TEXT_BYTES]);
const char *format_duration(int64_t ns, char buf[static UNITS_TEXT_BYTES]);

#endif
