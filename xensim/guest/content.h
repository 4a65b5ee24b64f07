/* SPDX-License-Identifier: MIT */
/*
 * What stands in a guest's pages: a pure function of the guest's seed, the page's index and its
 * version, so that anybody who knows these three can tell whether a page is the right one.
 *
 * Three classes, drawn for every (page, version) by the guest's mix: zero pages, text (words by
 * Zipf's law, which zstd and LZ4 shrink about as they shrink real text) and random bytes. Text
 * and random pages begin with a stamp of the three inputs.
 *
 * With write_bytes only so many bytes differ between versions: version 1 is as above, and later
 * ones are that with a stamp and a run of random bytes somewhere. Or all comes from a trace
 * (trace.h), but for the stamp.
 */
#ifndef XENSIM_GUEST_CONTENT_H
#define XENSIM_GUEST_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONTENT_NR_WORDS = 3072, CONTENT_PAGE_BYTES = 4096, CONTENT_STAMP_BYTES = 16 };

extern const char *const content_words[CONTENT_NR_WORDS];

/* Percentages that add up to 100. */
struct content_mix {
    uint8_t zero, text, random;
    uint8_t trace;        /* enum content_trace, instead of these */
    uint16_t write_bytes; /* 0: a write changes all of a page */
};

/* "zero=25,text=50,random=25", with ",write=64" for writes of so many bytes (a multiple of 64)
 * beside the stamp; classes left out are 0. Or a trace's name. false unless the classes add up to
 * 100. */
bool content_parse_mix(const char *text, struct content_mix *mix);

/* Write the page. */
void content_fill(
    void *page, const struct content_mix *mix, uint64_t seed, uint64_t index, uint32_t version);

/* Is this the page? */
bool content_matches(const void *page, const struct content_mix *mix, uint64_t seed, uint64_t index,
    uint32_t version);

/* Which version between 1 and limit the page holds, or 0: tells a stale page from a foreign one. */
uint32_t content_find_version(
    const void *page, const struct content_mix *mix, uint64_t seed, uint64_t index, uint32_t limit);

/* Text alone, for tests of how it compresses. */
void content_text(void *buf, size_t bytes, uint64_t key);

#endif
