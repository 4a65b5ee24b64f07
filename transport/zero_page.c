/* SPDX-License-Identifier: MIT */
#include "transport/zero_page.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

__attribute__((target("avx2"))) static bool is_zero_avx2(const void *page)
{
    const __m256i *p = page;

    for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i += 8) {
        const __m256i a = _mm256_or_si256(_mm256_loadu_si256(p + i), _mm256_loadu_si256(p + i + 1));
        const __m256i b = _mm256_or_si256(
            _mm256_loadu_si256(p + i + 2), _mm256_loadu_si256(p + i + 3));
        const __m256i c = _mm256_or_si256(
            _mm256_loadu_si256(p + i + 4), _mm256_loadu_si256(p + i + 5));
        const __m256i d = _mm256_or_si256(
            _mm256_loadu_si256(p + i + 6), _mm256_loadu_si256(p + i + 7));
        const __m256i all = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));

        if (!_mm256_testz_si256(all, all))
            return false;
    }
    return true;
}

static bool is_zero_sse2(const void *page)
{
    const __m128i *p = page;

    for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i += 8) {
        const __m128i a = _mm_or_si128(_mm_loadu_si128(p + i), _mm_loadu_si128(p + i + 1));
        const __m128i b = _mm_or_si128(_mm_loadu_si128(p + i + 2), _mm_loadu_si128(p + i + 3));
        const __m128i c = _mm_or_si128(_mm_loadu_si128(p + i + 4), _mm_loadu_si128(p + i + 5));
        const __m128i d = _mm_or_si128(_mm_loadu_si128(p + i + 6), _mm_loadu_si128(p + i + 7));
        const __m128i all = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));

        if (_mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_setzero_si128())) != 0xffff)
            return false;
    }
    return true;
}

bool page_is_zero(const void *page)
{
    const uint8_t *p = page;

    /* Most pages in use are not zero at an end or in the middle. Each test is a cache miss, so they
     * are made one by one. */
    if (get_le64(p) || get_le64(p + PAGE_BYTES / 2) || get_le64(p + PAGE_BYTES - 8))
        return false;
    return __builtin_cpu_supports("avx2") ? is_zero_avx2(page) : is_zero_sse2(page);
}

/* Past the caches, which would fetch every line before it is written; by whole lines it is half as
 * fast again. */
__attribute__((target("avx512f"))) static void clear_lines(void *page)
{
    __m512i *p = page;

    for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i++)
        _mm512_stream_si512(p + i, _mm512_setzero_si512());
}

void page_clear(void *page)
{
    __m128i *p = page;

    if ((uintptr_t)page % sizeof(__m512i) == 0 && __builtin_cpu_supports("avx512f")) {
        clear_lines(page);
        return;
    }
    for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i++)
        _mm_stream_si128(p + i, _mm_setzero_si128());
}

void page_clear_done(void)
{
    _mm_sfence();
}
