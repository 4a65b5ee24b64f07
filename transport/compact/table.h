/* SPDX-License-Identifier: MIT */
/*
 * What is known of each of a guest's pages: where its newest content is, and its hash. Groups of
 * EXTENT_FRAMES pages, made where something is known: 24 bytes for a page.
 *
 * A group has one user at a time: while lanes run, the lane that has the extent. Finding and making
 * groups of different extents may go on side by side.
 */
#ifndef TRANSPORT_COMPACT_TABLE_H
#define TRANSPORT_COMPACT_TABLE_H

#include "transport/compact/format.h"

#include <stdatomic.h>

enum compact_kind {
    COMPACT_UNKNOWN,  /* nothing was said of it: no memory */
    COMPACT_BARE,     /* a type that has no contents */
    COMPACT_ZERO,     /* contents, all zero */
    COMPACT_CONTENTS, /* in a chunk */
};

struct compact_page {
    uint8_t hash[PAGE_HASH_BYTES];
    uint32_t chunk;
    uint16_t slot;
    uint8_t type;     /* libxc's */
    uint8_t kind : 2; /* enum compact_kind */
    uint8_t file : 5; /* of a chain, from its newest, which is 0 */
    uint8_t seen : 1; /* a writer's: the guest has it, also if it is as the parent says */
};

struct compact_group {
    struct compact_page pages[EXTENT_FRAMES];
};

enum { COMPACT_REGION_EXTENTS = 4096 };

struct compact_table {
    uint64_t frame_count; /* every PFN is below it */
    uint64_t extent_count;
    struct compact_group **groups; /* by extent */
    /* By extent / COMPACT_REGION_EXTENTS: may it have groups? Most of a sparse guest has none. */
    atomic_uchar *regions;
    /* Made for what a file says, and how many may be: an entry of a few bytes is enough for one. */
    uint64_t entered_groups;
    uint64_t max_entered_groups;
};

int compact_table_init(struct compact_table *t, uint64_t frame_count, struct err *e);
/* Room for so many frames at least. */
int compact_table_grow(struct compact_table *t, uint64_t frame_count, struct err *e);
void compact_table_destroy(struct compact_table *t);

static inline struct compact_group *compact_group(const struct compact_table *t, uint64_t extent)
{
    return extent < t->extent_count ? t->groups[extent] : NULL;
}

/* The first extent from there on that has a group; extent_count: none. */
uint64_t compact_next_group(const struct compact_table *t, uint64_t extent);
/* All extents that have a group, ascending. The caller frees them. */
int compact_list_groups(
    const struct compact_table *t, uint32_t **extents, uint64_t *count, struct err *e);

/* The extent's frames with memory, ascending, as libxc's entries. Returns how many. */
unsigned compact_entries_of(
    const struct compact_table *t, uint64_t extent, uint64_t entries[static EXTENT_FRAMES]);

/* The extent's, made if there is none. NULL: no memory. */
struct compact_group *compact_group_make(struct compact_table *t, uint64_t extent);

bool compact_page_has_memory(const struct compact_page *p);
/* Would a restore do the same with both? */
bool compact_page_equal(const struct compact_page *a, const struct compact_page *b);

#endif
