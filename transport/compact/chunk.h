/* SPDX-License-Identifier: MIT */
/*
 * A chunk: up to EXTENT_FRAMES pages of one extent, packed as one piece of the file and unpacked
 * again (docs/file.md, "Chunks"). Pages that do not look as if they would become smaller stand in
 * front as they are, and are not in the way of the others.
 *
 * A packer or unpacker is one lane's, with all of its memory; nothing is allocated per chunk.
 */
#ifndef TRANSPORT_COMPACT_CHUNK_H
#define TRANSPORT_COMPACT_CHUNK_H

#include "base/codec.h"
#include "transport/compact/format.h"

#include <sys/uio.h>

struct compact_chunk {
    uint64_t offset;
    uint32_t stored_bytes;
    uint32_t crc; /* of these */
    uint32_t extent;
    uint16_t pages;
    uint16_t raw_pages; /* of these, the ones that are not compressed */
    uint8_t codec;      /* enum codec, of the others */
};

/* ---- packing ---- */

enum { COMPACT_MAX_PARTS = 3 };

struct compact_packer;

/* codec: for pages that it makes smaller. keys: NULL: not encrypted; they and uuid outlive it. */
int compact_packer_create(enum codec codec, const struct file_keys *keys, const uint8_t *uuid,
    struct compact_packer **p, struct err *e);
/* NULL is allowed. */
void compact_packer_destroy(struct compact_packer *p);

/* Where to put the next page, which looks like content; not when the chunk has EXTENT_FRAMES. */
void *compact_packer_room(struct compact_packer *p, const void *content);
/* Where the next page but so many would be put if all are kept, whatever they look like; NULL: that
 * depends on them. */
void *compact_packer_room_ahead(struct compact_packer *p, unsigned pages);
/* What was put there belongs to the chunk. Returns a ticket for its slot. */
unsigned compact_packer_keep(struct compact_packer *p);

/* The chunk is complete: compress. Fills in all of it but its place and its CRC. */
void compact_packer_finish(struct compact_packer *p, struct compact_chunk *c);
unsigned compact_packer_slot(const struct compact_packer *p, unsigned ticket);
/* Encrypt, if it is to be; then the CRC and what is to be written, valid until the next chunk. */
int compact_packer_seal(struct compact_packer *p, uint32_t number, struct compact_chunk *c,
    struct iovec parts[static COMPACT_MAX_PARTS], int *count, struct err *e);

/* ---- unpacking ---- */

struct compact_unpacker;

int compact_unpacker_create(struct compact_unpacker **u, struct err *e);
void compact_unpacker_destroy(struct compact_unpacker *u);

/* Read the chunk and check its CRC, no more. ERR_REFUSED, -EBADMSG. */
int compact_unpacker_read(
    struct compact_unpacker *u, int fd, const struct compact_chunk *c, struct err *e);
/*
 * That, and unpack: pages[i] is the content of slot i, valid until the next chunk. into[i] says
 * where it is wanted; NULL: nowhere. Pages that are raw in the file are read straight to there, if
 * they are wanted; the others are for the caller to copy. sealer: of an encrypted file, else NULL.
 */
int compact_unpack(struct compact_unpacker *u, int fd, const struct compact_chunk *c,
    uint32_t number, struct file_sealer *sealer, const uint8_t *uuid,
    void *const into[static EXTENT_FRAMES], const uint8_t *pages[static EXTENT_FRAMES],
    struct err *e);

/* Could it be one? Lengths that no chunk has are ERR_REFUSED. */
int compact_chunk_check(
    const struct compact_chunk *c, uint64_t extent_count, bool encrypted, struct err *e);

#endif
