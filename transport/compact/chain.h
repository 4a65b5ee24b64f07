/* SPDX-License-Identifier: MIT */
/*
 * A chain of compact files, to be read: a file, its parent, that one's, down to a whole one. Added
 * in that order; each must be the parent that the one before names, by UUID and checksum of its
 * index. Together they say where each page's newest content is.
 *
 * Owner: one thread; while readers run, nobody changes it.
 */
#ifndef TRANSPORT_COMPACT_CHAIN_H
#define TRANSPORT_COMPACT_CHAIN_H

#include "transport/compact/file.h"
#include "transport/v3.h"

struct compact_chain {
    struct compact_file files[COMPACT_MAX_FILES];
    unsigned count;
    unsigned first; /* the number of the first file in the table: a writer's own file is 0 */
    struct compact_table table;
    uint64_t damage_at; /* of the file that could not be added */
};

/* secret and keys as for compact_file_unlock(). fd stays the caller's and outlives the chain. */
int compact_chain_add(struct compact_chain *c, int fd, const char *name,
    const struct file_secret *secret, const struct file_keys *keys, struct err *e);
void compact_chain_close(struct compact_chain *c);

/* The last file that was added wants a parent. */
bool compact_chain_wants_parent(const struct compact_chain *c);

/* One lane's way to the pages. */
struct compact_reader;

/* check: compare each page with its hash. */
int compact_reader_create(
    const struct compact_chain *c, bool check, struct compact_reader **r, struct err *e);
/* NULL is allowed. */
void compact_reader_destroy(struct compact_reader *r);

/* Put the contents of the extent's pages where into says, by frame, no two at one place; NULL: of
 * no interest. Each chunk is read once. What is there after a failure is worth nothing. */
int compact_reader_fill(struct compact_reader *r, uint64_t extent,
    void *const into[static EXTENT_FRAMES], struct err *e);

/* All of the extent: frame i at buffer + i * PAGE_BYTES. Those without contents stay as they are.
 */
int compact_reader_load(struct compact_reader *r, uint64_t extent, uint8_t *buffer, struct err *e);
static inline uint8_t *compact_page_at(uint8_t *buffer, uint64_t entry)
{
    return buffer + v3_entry_pfn(entry) % EXTENT_FRAMES * PAGE_BYTES;
}

#endif
