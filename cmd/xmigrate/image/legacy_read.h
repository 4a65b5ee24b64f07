/* SPDX-License-Identifier: MIT */
/*
 * legacy.h's reader, from the inside: one walk over a file, which calls a sink for pages if there
 * is one and skips them if not. Parts: legacy_head.c, legacy_read.c (chunks, tail), legacy_pages.c
 * (batches and compressed chunks), legacy_tmem.c.
 */
#ifndef CMD_XMIGRATE_IMAGE_LEGACY_READ_H
#define CMD_XMIGRATE_IMAGE_LEGACY_READ_H

#include "base/limits.h"
#include "cmd/xmigrate/image/file_reader.h"
#include "cmd/xmigrate/image/legacy.h"

/* Where pages go. entries as in PAGE_DATA (transport/v3.h), without XTAB; pages: NULL for entries
 * without contents. */
struct legacy_sink {
    int (*pages)(void *arg, const uint64_t *entries, const void *const *pages, unsigned count,
        struct err *e);
    /* What the frame has now, which a compressed page changes. */
    int (*fetch)(void *arg, uint64_t pfn, uint8_t page[static PAGE_BYTES], struct err *e);
    void *arg;
};

/* A compressed page is a list of runs: words that are copied, words that stay. */
struct legacy_unpack {
    unsigned at;         /* bytes of the page that are done */
    unsigned copy_bytes; /* of the run under way */
    bool kept;           /* some stayed */
};
/* Takes bytes until the page is done (*done, and *u is ready for the next) or there are none left.
 * page: NULL: only looked at. */
struct bytes_in;
int legacy_unpack(
    struct legacy_unpack *u, struct bytes_in *in, uint8_t *page, bool *done, struct err *e);

struct legacy_reader {
    struct file_reader file;
    struct legacy *l;
    const struct legacy_sink *sink; /* NULL: only look */
    bool verify;                    /* pages are there to be compared */
    bool packed;                    /* batches have no pages: compressed chunks do */
    bool last;                      /* no checkpoint follows */
    /* Frames: those that had contents, and those of the batch under way. */
    uint64_t *seen, *batched;
    uint8_t *buffer; /* LEGACY_MAX_BATCH pages; with a sink */
    /* Entries whose contents come in compressed chunks, and how many of them have come. */
    uint64_t *awaited;
    size_t awaited_count, awaited_cap, awaited_done;
    struct legacy_unpack unpack;
    uint8_t page[PAGE_BYTES];
};

/* Walk over the whole file. What *l says of it before is replaced. */
int legacy_walk(
    int fd, const char *path, struct legacy *l, const struct legacy_sink *sink, struct err *e);

int legacy_read_front(struct legacy_reader *r, struct err *e);
int legacy_read_head(struct legacy_reader *r, struct err *e);

int legacy_take_u32(struct legacy_reader *r, uint32_t *value, struct err *e);
int legacy_take_u64(struct legacy_reader *r, uint64_t *value, struct err *e);
/* count unsigned longs of the tools', widened. */
int legacy_take_words(struct legacy_reader *r, uint64_t *words, unsigned count, struct err *e);

/* A list of PFNs, what, which stays where it is: *piece. */
int legacy_skip_pfns(struct legacy_reader *r, uint64_t count, struct legacy_piece *piece,
    const char *what, struct err *e);

int legacy_read_batch(struct legacy_reader *r, unsigned count, struct err *e);
int legacy_read_packed(struct legacy_reader *r, struct err *e);
/* All that were announced have come. */
int legacy_end_packed(struct legacy_reader *r, struct err *e);

int legacy_read_tmem(struct legacy_reader *r, struct err *e);
int legacy_read_tmem_extra(struct legacy_reader *r, struct err *e);

#endif
