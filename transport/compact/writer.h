/* SPDX-License-Identifier: MIT */
/*
 * The engine's part of a new compact file (ends.h has the rest): chunks from its lanes, then the
 * sections that it knows of.
 *
 * A page is written only if it is not what the file, or its chain, says already. Lanes work side by
 * side, each on extents of its own; lock guards where the file ends and what its chunks are.
 */
#ifndef TRANSPORT_COMPACT_WRITER_H
#define TRANSPORT_COMPACT_WRITER_H

#include "transport/compact/chain.h"

#include <sys/uio.h>

struct compact_writer;

/* A file that compact_create() made, with its keys; codec: for pages. chain: its parent's, whose
 * first is 1, or an empty one; the writer takes its table over, and closes it, whatever happens. */
int compact_writer_open(int fd, const struct file_keys *keys, enum codec codec,
    struct compact_chain *chain, struct compact_writer **w, struct err *e);
/* Before the first page: how many frames the guest has. */
int compact_writer_begin(struct compact_writer *w, uint64_t frame_count, struct err *e);
void compact_writer_close(struct compact_writer *w);
/* So far; any thread. */
uint64_t compact_writer_bytes(const struct compact_writer *w);

/* A lane's. */
struct compact_lane;
int compact_lane_create(struct compact_writer *w, struct compact_lane **l, struct err *e);
/* NULL is allowed. */
void compact_lane_destroy(struct compact_lane *l);

/* Of a batch. */
struct compact_counts {
    uint64_t data_pages; /* with contents that are not all zero */
    uint64_t zero_pages;
};
/* Entries are libxc's (transport/v3.h), ascending; pages[i] is the content of entry i, ignored if
 * the type has none, and may change meanwhile. The extents are this lane's until it returns. */
int compact_lane_put(struct compact_lane *l, const uint64_t *entries, const void *const *pages,
    unsigned count, struct compact_counts *counts, struct err *e);

/* All lanes are through: the sections HEAD and TAIL, which are those bytes, INDEX, and a footer. */
int compact_writer_finish(
    struct compact_writer *w, const struct iovec *head, const struct iovec *tail, struct err *e);

#endif
