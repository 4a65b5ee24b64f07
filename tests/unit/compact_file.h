/* SPDX-License-Identifier: MIT */
/* Small compact files, in memory: a guest of a few extents, whose pages are told from each other by
 * a number; and ends that say what a test wants, with a MAC that is right. */
#ifndef TESTS_UNIT_COMPACT_FILE_H
#define TESTS_UNIT_COMPACT_FILE_H

#include "base/codec.h"
#include "transport/compact/chain.h"

enum { TINY_FRAMES = 3 * EXTENT_FRAMES };

/* A guest's memory: what each frame holds. */
struct tiny_guest {
    uint8_t type[TINY_FRAMES];   /* libxc's */
    uint32_t value[TINY_FRAMES]; /* 0: zeros; else the page's content follows from it */
};

void tiny_page(uint32_t value, uint8_t page[static PAGE_BYTES]);

struct tiny_file {
    const char *secret; /* NULL: not encrypted */
    const struct compact_chain *parent;
    const char *parent_name;
    enum codec codec;
};

/* What is in its sections, but for INDEX. */
extern const char *const tiny_sections[COMPACT_SECTIONS + 1];

/* Write such a file, whole; returns a descriptor of memory. Aborts on failure. */
int tiny_write(const struct tiny_file *f, const struct tiny_guest *g);

/* The chain as the guest: -1 if a page is not what it says. */
int tiny_compare(const struct compact_chain *c, const struct tiny_guest *g, struct err *e);

void tiny_secret(const char *text, struct file_secret *secret);

#endif
