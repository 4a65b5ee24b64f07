/* SPDX-License-Identifier: MIT */
/*
 * Auxiliary data in a compact file (docs/file.md, "Auxiliary data"): its contents are pages of
 * frames behind the guest's last, so they are packed, hashed, checked and shared with a parent like
 * any others. Records of the section HEAD say what sources there are, and which key each of these
 * frames has.
 */
#ifndef TRANSPORT_COMPACT_AUX_H
#define TRANSPORT_COMPACT_AUX_H

#include "base/bytes.h"
#include "transport/aux.h"
#include "transport/compact/table.h"
#include "transport/v3.h"

#include <sys/uio.h>

/* Ours, which Xen's own tools would skip; they never see them. */
#define V3_AUX_SOURCE (V3_OPTIONAL | 0x786d02)
#define V3_AUX_KEYS   (V3_OPTIONAL | 0x786d03)

enum {
    COMPACT_AUX_SOURCE_BYTES = 8, /* and what the wire has */
    COMPACT_AUX_KEY_BYTES = AUX_KEY_BYTES + 8,
    COMPACT_AUX_RECORD_KEYS = 16384, /* at most, of one record */
};

struct compact_aux_part {
    struct aux_source source;
    uint64_t first_frame; /* of as many as the source may have entries */
    uint64_t key_count;
    uint8_t *keys; /* as in the file, ascending by frame; malloc'ed */
};

struct compact_aux {
    size_t states_bytes; /* of HEAD: what comes before these records, the last ones there */
    unsigned count;
    struct compact_aux_part parts[AUX_MAX_SOURCES]; /* in the order of their frames */
};

/* The first frame of a source behind others. */
static inline uint64_t compact_aux_first(uint64_t frames)
{
    return (frames + EXTENT_FRAMES - 1) / EXTENT_FRAMES * EXTENT_FRAMES;
}

void compact_aux_encode_key(const uint8_t key[static AUX_KEY_BYTES], uint32_t offset,
    uint32_t bytes, uint8_t out[static COMPACT_AUX_KEY_BYTES]);

/* Of content. */
static inline uint32_t compact_aux_key_bytes(const uint8_t key[static COMPACT_AUX_KEY_BYTES])
{
    return get_le32(key + AUX_KEY_BYTES + 4);
}

/* From the section HEAD of a file whose table has so many frames. ERR_REFUSED, -EBADMSG. */
int compact_aux_read(
    struct compact_aux *a, const struct iovec *head, uint64_t frame_count, struct err *e);
/* Has each frame behind the guest's last a key, and each key a frame? -EBADMSG. */
int compact_aux_check(const struct compact_aux *a, const struct compact_table *t, struct err *e);
void compact_aux_destroy(struct compact_aux *a);

/* Where the guest's own frames end: of those in the table. */
uint64_t compact_aux_guest_frames(const struct compact_aux *a, uint64_t frame_count);

/* Whose frame it is, with its key and how many bytes of the page are content; NULL: nobody's. */
const struct compact_aux_part *compact_aux_find(
    const struct compact_aux *a, uint64_t frame, const uint8_t **key, uint32_t *bytes);

#endif
