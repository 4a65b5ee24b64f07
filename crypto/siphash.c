/* SPDX-License-Identifier: MIT */
#include "crypto/siphash.h"

bool siphash_pages(const uint8_t key[static SIPHASH_KEY_BYTES],
    const void *const pages[static SIPHASH_PAGES], uint8_t (*hashes)[SIPHASH_BYTES])
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512vl")) {
        siphash_by_avx512(key, pages, hashes);
        return true;
    }
    if (__builtin_cpu_supports("avx2")) {
        siphash_by_avx2(key, pages, hashes);
        return true;
    }
#endif
    (void)key, (void)pages, (void)hashes;
    return false;
}
