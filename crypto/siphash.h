/* SPDX-License-Identifier: MIT */
/*
 * SipHash-2-4 with 128 bits of several pages at once, side by side in a processor's vectors:
 * several times as fast as one after the other. It is what OpenSSL makes of each.
 */
#ifndef CRYPTO_SIPHASH_H
#define CRYPTO_SIPHASH_H

#include <stdbool.h>
#include <stdint.h>

enum { SIPHASH_PAGES = 8, SIPHASH_BYTES = 16, SIPHASH_KEY_BYTES = 16 };

/* Of so many pages, PAGE_BYTES each. False: this processor cannot. */
bool siphash_pages(const uint8_t key[static SIPHASH_KEY_BYTES],
    const void *const pages[static SIPHASH_PAGES], uint8_t (*hashes)[SIPHASH_BYTES]);

/* The same on a processor that has these instructions (x86-64 only). */
void siphash_by_avx2(const uint8_t key[static SIPHASH_KEY_BYTES],
    const void *const pages[static SIPHASH_PAGES], uint8_t (*hashes)[SIPHASH_BYTES]);
void siphash_by_avx512(const uint8_t key[static SIPHASH_KEY_BYTES],
    const void *const pages[static SIPHASH_PAGES], uint8_t (*hashes)[SIPHASH_BYTES]);

#endif
