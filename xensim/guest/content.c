/* SPDX-License-Identifier: MIT */
#include "xensim/guest/content.h"

#include "base/units.h"
#include "xensim/guest/trace.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One corpus per process, the same everywhere; a text page is a window into it. */
enum { CORPUS_BYTES = 4 << 20, NR_PHRASES = 600, PHRASE_PERCENT = 20 };

static char *corpus;
static pthread_once_t corpus_once = PTHREAD_ONCE_INIT;

static uint64_t mix64(uint64_t x)
{
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ x >> 27) * 0x94D049BB133111EBull;
    return x ^ x >> 31;
}

static uint64_t page_key(uint64_t seed, uint64_t index, uint32_t version)
{
    return mix64(mix64(seed ^ index) + version);
}

static unsigned pick_word(const double *cumulative, uint64_t random)
{
    double want = (double)(random >> 11) / 9007199254740992.0 * cumulative[CONTENT_NR_WORDS - 1];
    unsigned low = 0, high = CONTENT_NR_WORDS - 1;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (cumulative[mid] < want)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/*
 * Sentences: a capital at the start, a full stop after 4 to 15 words, now and then a number. As in
 * real text, a share of the words comes in phrases of two to four, drawn from NR_PHRASES by the
 * same law. Exponent and share are tuned to compress with LZ4 and zstd as real text does.
 */
static void make_corpus(void)
{
    static const double zipf_exponent = 1.05;
    double cumulative[CONTENT_NR_WORDS];
    double sum = 0;
    size_t at = 0;
    uint64_t state = 20240229;
    unsigned left = 0;
    unsigned phrase = 0, phrase_left = 0;

    corpus = malloc(CORPUS_BYTES + CONTENT_PAGE_BYTES);
    if (!corpus)
        abort();
    for (unsigned i = 0; i < CONTENT_NR_WORDS; i++)
        cumulative[i] = sum += 1.0 / pow(i + 2.0, zipf_exponent);
    while (at < CORPUS_BYTES) {
        uint64_t r = mix64(state++);
        char word[32];
        int n;

        if (!phrase_left && r % 100 < PHRASE_PERCENT) {
            phrase = pick_word(cumulative, mix64(r)) % NR_PHRASES;
            phrase_left = 2 + phrase % 3;
        }
        if (phrase_left)
            r = mix64(phrase * 8ull + --phrase_left) | 1;
        if ((r & 0x3f) == 0)
            n = snprintf(word, sizeof(word), "%u", (unsigned)(r >> 40) % 10000);
        else
            n = snprintf(word, sizeof(word), "%s", content_words[pick_word(cumulative, r)]);
        if (!left) {
            left = 4 + (unsigned)(mix64(r) % 12);
            if (word[0] >= 'a')
                word[0] = (char)(word[0] - 'a' + 'A');
        }
        memcpy(corpus + at, word, (size_t)n);
        at += (size_t)n;
        if (!--left)
            corpus[at++] = '.';
        corpus[at++] = left || mix64(r + 1) & 3 ? ' ' : '\n';
    }
}

void content_text(void *buf, size_t bytes, uint64_t key)
{
    char *p = buf;

    pthread_once(&corpus_once, make_corpus);
    while (bytes) {
        size_t n = bytes < CONTENT_PAGE_BYTES ? bytes : CONTENT_PAGE_BYTES;

        memcpy(p, corpus + mix64(key++) % (CORPUS_BYTES - CONTENT_PAGE_BYTES), n);
        p += n;
        bytes -= n;
    }
}

static bool take_write(const char *text, struct content_mix *mix)
{
    uint64_t bytes;

    if (!parse_u64(text, 64, CONTENT_PAGE_BYTES / 2, &bytes) || bytes % 64)
        return false;
    mix->write_bytes = (uint16_t)bytes;
    return true;
}

bool content_parse_mix(const char *text, struct content_mix *mix)
{
    char copy[128];
    char *save = NULL;

    *mix = (struct content_mix){.trace = (uint8_t)trace_named(text)};
    if (mix->trace)
        return true;
    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(word, '=');
        uint64_t share;

        if (!eq)
            return false;
        *eq = '\0';
        if (!strcmp(word, "write")) {
            if (!take_write(eq + 1, mix))
                return false;
            continue;
        }
        if (!parse_u64(eq + 1, 0, 100, &share))
            return false;
        if (!strcmp(word, "zero"))
            mix->zero = (uint8_t)share;
        else if (!strcmp(word, "text"))
            mix->text = (uint8_t)share;
        else if (!strcmp(word, "random"))
            mix->random = (uint8_t)share;
        else
            return false;
    }
    return mix->zero + mix->text + mix->random == 100;
}

/* Independent streams, so that the compiler can vectorise them. */
static void fill_random(uint64_t *words, size_t count, uint64_t key)
{
    uint64_t s[8];

    for (unsigned i = 0; i < 8; i++)
        s[i] = mix64(key + i) | 1;
    for (size_t i = 0; i < count; i += 8)
        for (unsigned k = 0; k < 8; k++) {
            s[k] ^= s[k] << 13;
            s[k] ^= s[k] >> 7;
            s[k] ^= s[k] << 17;
            words[i + k] = s[k];
        }
}

static void put_stamp(uint8_t *page, uint64_t index, uint32_t version, uint64_t key)
{
    uint32_t short_index = (uint32_t)index;

    memcpy(page, &key, 8);
    memcpy(page + 8, &short_index, 4);
    memcpy(page + 12, &version, 4);
}

static void fill_whole(
    void *page, const struct content_mix *mix, uint64_t seed, uint64_t index, uint32_t version)
{
    uint64_t key = page_key(seed, index, version);
    unsigned draw = (unsigned)(key % 100);

    if (draw < mix->zero) {
        memset(page, 0, CONTENT_PAGE_BYTES);
        return;
    }
    if (draw < mix->zero + mix->text)
        content_text(page, CONTENT_PAGE_BYTES, key);
    else
        fill_random(page, CONTENT_PAGE_BYTES / 8, key);
    put_stamp(page, index, version, key);
}

/* A stamp and random bytes somewhere else. */
static void write_in_place(
    void *page, const struct content_mix *mix, uint64_t seed, uint64_t index, uint32_t version)
{
    const uint64_t key = page_key(seed, index, version);
    const size_t lines = CONTENT_PAGE_BYTES / 64, written = mix->write_bytes / 64;
    const size_t line = 1 + key % (lines - written);

    fill_random((uint64_t *)page + line * 8, written * 8, key);
    put_stamp(page, index, version, key);
}

void content_fill(
    void *page, const struct content_mix *mix, uint64_t seed, uint64_t index, uint32_t version)
{
    if (mix->trace) {
        memcpy(page, trace_page(mix->trace, mix64(seed ^ index), version), CONTENT_PAGE_BYTES);
        put_stamp(page, index, version, page_key(seed, index, version));
        return;
    }
    fill_whole(page, mix, seed, index, mix->write_bytes ? 1 : version);
    if (mix->write_bytes && version > 1)
        write_in_place(page, mix, seed, index, version);
}

bool content_matches(const void *page, const struct content_mix *mix, uint64_t seed, uint64_t index,
    uint32_t version)
{
    uint64_t want[CONTENT_PAGE_BYTES / 8];

    content_fill(want, mix, seed, index, version);
    return !memcmp(page, want, CONTENT_PAGE_BYTES);
}

uint32_t content_find_version(
    const void *page, const struct content_mix *mix, uint64_t seed, uint64_t index, uint32_t limit)
{
    uint32_t stamped;

    /* A stamped page names its version; only zero pages need a search. */
    memcpy(&stamped, (const uint8_t *)page + 12, 4);
    if (stamped && stamped <= limit && content_matches(page, mix, seed, index, stamped))
        return stamped;
    for (uint32_t v = limit; v > 0 && v + 64 > limit; v--)
        if (content_matches(page, mix, seed, index, v))
            return v;
    return 0;
}
