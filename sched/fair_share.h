/* SPDX-License-Identifier: MIT */
/*
 * How moves from one host share what it may send in all: each gets as much as any other, unless it
 * wants less; what it leaves is for the others, in the same way.
 *
 *   limit   │████████ a: 3 of 9, as b      a and b want all they can get, c wants 3:  3, 3, 3
 *           │████████ b                    c wants 1:                                 4, 4, 1
 *           │███ c
 *
 * One whose guest is about to stand still, or does, comes first: of all but the least that keeps
 * the others' connections alive it gets what it wants, and what it leaves is for the others.
 *
 * Pure, so every process comes to the same shares from the same claims.
 */
#ifndef SCHED_FAIR_SHARE_H
#define SCHED_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* More than move at once from any host; those that come later count as none. */
enum { FAIR_SHARE_MOST = 256 };

#define FAIR_SHARE_ALL UINT64_MAX /* it would use whatever it got */

struct fair_claim {
    uint64_t bits_per_s; /* that it wants */
    bool first;
};

/* What the claim of that index gets: never less than BUCKET_LEAST_BITS_PER_S, even if that is more
 * than the limit in all. */
uint64_t fair_share(
    uint64_t limit_bits_per_s, const struct fair_claim *of, unsigned count, unsigned which);

/* What a move should claim that has used so much of its share lately: all, or a quarter more than
 * it used, in steps, so that shares do not change with each look. */
uint64_t fair_claim_of(
    uint64_t used_bits_per_s, uint64_t share_bits_per_s, uint64_t limit_bits_per_s);

#endif
