/* SPDX-License-Identifier: MIT */
/*
 * The section INDEX (docs/file.md): a file's chunks, and for each page that it has something to say
 * of, its type, hash and place. Pure.
 */
#ifndef TRANSPORT_COMPACT_INDEX_H
#define TRANSPORT_COMPACT_INDEX_H

#include "transport/compact/chunk.h"
#include "transport/compact/table.h"

struct compact_index {
    uint8_t hash_key[PAGE_HASH_KEY_BYTES];
    uint64_t frame_count;
    uint32_t chunk_count;
    struct compact_chunk *chunks; /* malloc'ed */
    /* Decoding only: the groups. */
    uint32_t group_count;
    uint64_t entry_count;
    const uint8_t *groups;
    size_t groups_bytes;
};

/* What t's pages of file 0 say, malloc'ed; incremental: with word of pages that older files have
 * and that were not seen. */
int compact_index_encode(const struct compact_index *index, const struct compact_table *t,
    bool incremental, uint8_t **bytes, size_t *len_bytes, struct err *e);

/* All but the groups, which point into bytes; chunks have their offsets. chunks_bytes: how many
 * they have in the file. Free index->chunks in any case. */
int compact_index_decode(const uint8_t *bytes, size_t len_bytes, uint64_t chunks_bytes,
    bool encrypted, struct compact_index *index, struct err *e);

/* Enter the groups as a chain's file of that number, where no newer file has said anything; t has
 * room for all frames. */
int compact_index_enter(
    const struct compact_index *index, unsigned file, struct compact_table *t, struct err *e);

#endif
