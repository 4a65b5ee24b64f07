/* SPDX-License-Identifier: MIT */
/*
 * A page's keyed hash (docs/file.md): SipHash-2-4 with 128 bits, a pseudo-random function. A guest,
 * which does not know the key, cannot make two pages that have the same.
 *
 * Owner: one thread.
 */
#ifndef CRYPTO_PAGE_HASH_H
#define CRYPTO_PAGE_HASH_H

#include "base/err.h"

#include <stdint.h>

enum { PAGE_HASH_BYTES = 16, PAGE_HASH_KEY_BYTES = 16 };

struct page_hasher;

int page_hasher_create(
    const uint8_t key[static PAGE_HASH_KEY_BYTES], struct page_hasher **h, struct err *e);
/* NULL is allowed. */
void page_hasher_destroy(struct page_hasher *h);

/* page: PAGE_BYTES that nobody changes meanwhile. */
int page_hash(
    struct page_hasher *h, const void *page, uint8_t hash[static PAGE_HASH_BYTES], struct err *e);

/* The same of several, side by side where the processor can. */
int page_hashes(struct page_hasher *h, const void *const *pages, unsigned count,
    uint8_t (*hashes)[PAGE_HASH_BYTES], struct err *e);

#endif
