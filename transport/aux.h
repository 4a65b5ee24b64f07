/* SPDX-License-Identifier: MIT */
/*
 * Auxiliary data (docs/wire.md): what a guest owns that is not its memory and too much for the
 * pause. It comes from named sources, as entries: a key and up to 4 KiB of content, which a later
 * entry of the same key replaces or withdraws. AUX_SOURCE and AUX_DONE are records of the trunk,
 * AUX of the lanes.
 *
 * Encoding and decoding alone, pure: what entries mean is engine/aux's. A decoder checks a body
 * whole and says what is wrong with it, or NULL.
 */
#ifndef TRANSPORT_AUX_H
#define TRANSPORT_AUX_H

#include "base/limits.h"
#include "transport/aux_limits.h"
#include "transport/channel.h"

#include <stdbool.h>

/* What a source says before its first entry. */
struct aux_source {
    uint32_t number; /* on this connection; below AUX_MAX_SOURCES */
    bool optional;   /* the guest can do without */
    char name[AUX_NAME_BYTES];
    uint32_t version;
    uint64_t most_entries, most_bytes; /* that are there at any time */
    uint32_t head_bytes;
    uint8_t head[AUX_MAX_HEAD_BYTES]; /* the source's own */
};

struct aux_entry {
    uint8_t key[AUX_KEY_BYTES];
    bool withdrawn;
    uint32_t bytes; /* of content; 0 of one that is withdrawn */
    const uint8_t *content;
};

struct aux_batch {
    uint32_t source;
    unsigned count;
    struct aux_entry entries[AUX_MAX_ENTRIES];
};

/* What was handed over in all. */
struct aux_totals {
    uint64_t batches, set, withdrawn, bytes;
};

/* The pages that so many bytes of contents would fill, as the scheduler counts them. */
static inline uint64_t aux_pages(uint64_t bytes)
{
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
}

void aux_totals_add(struct aux_totals *t, const struct aux_batch *b);

/* Into body, which has room for AUX_SOURCE_BYTES and the head. How long it is. */
size_t aux_encode_source(const struct aux_source *s, uint8_t *body);
int aux_send_source(struct channel *ch, const struct aux_source *s, struct err *e);
int aux_send_done(
    struct channel *ch, uint32_t source, const struct aux_totals *totals, struct err *e);
/* On a lane. */
int aux_send_batch(struct channel *ch, const struct aux_batch *b, struct err *e);

const char *aux_decode_source(const void *body, size_t len_bytes, struct aux_source *s);
const char *aux_decode_done(
    const void *body, size_t len_bytes, uint32_t *source, struct aux_totals *totals);
/* Contents stay in body. */
const char *aux_decode_batch(const void *body, size_t len_bytes, struct aux_batch *b);

#endif
