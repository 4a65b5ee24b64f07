/*
 * How fast pages go, from one round to the next. Counted in pages with contents: they are what
 * the last round will have, and marks for zero pages, which fill the first one, would flatter.
 */
#ifndef SCHED_SPEED_H
#define SCHED_SPEED_H

#include <stdint.h>

/* Shorter rounds are mostly overhead: they can only show that pages go faster than was thought. */
enum { SPEED_MIN_PAGES = 256 };

/* Pages per second to reckon with after a round, given what was reckoned with before (0: nothing
 * yet). */
double estimate_speed(double before_pages_per_s, uint64_t round_pages, int64_t round_ns);

/* Pages per second over a span; 0 when it has no length. */
double pages_per_s(uint64_t pages, int64_t span_ns);

#endif
