/* SPDX-License-Identifier: MIT */
/*
 * A second reader of the wire format, written from docs/wire.md alone: it includes nothing of
 * transport/, so that a wrong constant there cannot agree with itself. It reads a whole
 * connection's bytes after the proof.
 */
#ifndef TESTS_WIRE_PEER_H
#define TESTS_WIRE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer_record {
    uint32_t type;
    uint32_t len_bytes;
    const uint8_t *body;
};

/* The record at *pos, which moves behind it; false at the end or when it is cut short. */
bool peer_next_record(
    const uint8_t *bytes, size_t len_bytes, size_t *pos, struct peer_record *record);

struct peer_pages {
    unsigned count;
    struct {
        unsigned type;
        uint64_t pfn;
        bool zero, delta;
        const uint8_t *content; /* NULL: the record has none */
    } entry[1024];
    /* Set by the caller: what it has of a page that comes as a difference. NULL: zeros. */
    const uint8_t *before[1024];
    unsigned raw_blocks, lz4_blocks, zstd_blocks;
    uint8_t bytes[1024 * 4096];
};

/* NULL, or what is wrong with it. */
const char *peer_read_pages(const uint8_t *body, size_t len_bytes, struct peer_pages *pages);

struct peer_aux {
    unsigned source, count;
    struct {
        const uint8_t *key;
        bool withdrawn;
        unsigned bytes;
        const uint8_t *content;
    } entry[256];
};

/* An AUX record's body; NULL, or what is wrong with it. */
const char *peer_read_aux(const uint8_t *body, size_t len_bytes, struct peer_aux *aux);

#endif
