/* SPDX-License-Identifier: MIT */
/*
 * Differences between two versions of a page: their exclusive or, which is nearly all zeros when
 * little was written (docs/wire.md, DELTA). Pure; pages are PAGE_BYTES, aligned to 8.
 */
#ifndef TRANSPORT_PAGE_DELTA_H
#define TRANSPORT_PAGE_DELTA_H

#include <stdbool.h>
#include <stdint.h>

enum { DELTA_WORDS = 512 }; /* of 8 bytes, in a page */

/*
 * was becomes what now holds, which is read once (it may be written to meanwhile), and diff the
 * difference between the two. False: they differ in more than most_words; diff is not finished
 * then.
 */
bool page_delta_take(
    uint64_t *was, const void *now, uint64_t diff[DELTA_WORDS], unsigned most_words);

/* In how many words they differ; now may be written to meanwhile. */
unsigned page_delta_words(const void *was, const void *now);

/* From the older version to the newer. */
void page_delta_apply(void *page, const void *diff);

/* What a page has to be after that. */
uint32_t page_check_sum(const void *page);

#endif
