/* SPDX-License-Identifier: MIT */
/*
 * Pages of zeros: recognised at the source, made at the destination.
 */
#ifndef TRANSPORT_ZERO_PAGE_H
#define TRANSPORT_ZERO_PAGE_H

#include <stdbool.h>

/* Is every byte of the page zero? Any alignment of 8; stops at the first that is not. */
bool page_is_zero(const void *page);

/* Clear a page, aligned to 16, that nobody reads soon: two and a half times as fast as memset(). */
void page_clear(void *page);

/* After the last of them, before anybody is told. */
void page_clear_done(void);

#endif
