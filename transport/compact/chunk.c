/* SPDX-License-Identifier: MIT */
#include "transport/compact/chunk.h"

#include "base/crc32c.h"
#include "transport/compact/file_io.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
    PAGES_BYTES = EXTENT_FRAMES * PAGE_BYTES,
    PIECE_BYTES = 128 << 10, /* half of a second cache, or less */
    /* 32 KiB, which the first cache holds: 5 % faster than the level's own 64, and 4 % larger. */
    ZSTD_HASH_LOG = 13,
    /* Of a page, looked at to see whether it may become smaller. */
    SAMPLE_STEP = 8,
    /* Random bytes have some 221 of the 256 values in such a sample, programs 150. */
    RANDOM_VALUES = 208,
};

/* ---- packing ---- */

struct compact_packer {
    enum codec codec;
    const uint8_t *uuid;
    struct file_sealer *sealer; /* NULL: not encrypted */
    ZSTD_CCtx *zstd;
    void *lz_state;
    uint8_t *raw, *soft; /* the chunk's pages of each kind */
    unsigned raw_pages, soft_pages;
    uint32_t raw_crc; /* of the raw pages */
    bool next_is_raw; /* the page that compact_packer_room() was asked for */
    uint8_t *packed;  /* soft pages, compressed, if packed_bytes is not 0 */
    size_t packed_bytes;
    uint8_t tag[FILE_TAG_BYTES];
};

static bool prepare_codec(struct compact_packer *p)
{
    if (p->codec == CODEC_LZ4) {
        p->lz_state = malloc((size_t)LZ4_sizeofState());
        return p->lz_state;
    }
    if (p->codec != CODEC_ZSTD)
        return true;
    p->zstd = ZSTD_createCCtx();
    return p->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, 1)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_hashLog, ZSTD_HASH_LOG));
}

int compact_packer_create(enum codec codec, const struct file_keys *keys, const uint8_t *uuid,
    struct compact_packer **out, struct err *e)
{
    struct compact_packer *p = calloc(1, sizeof(*p));
    int rc = 0;

    if (!p)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    p->codec = codec;
    p->uuid = uuid;
    p->raw = aligned_alloc(PAGE_BYTES, PAGES_BYTES);
    p->soft = aligned_alloc(PAGE_BYTES, PAGES_BYTES);
    p->packed = malloc(PAGES_BYTES);
    if (!p->raw || !p->soft || !p->packed || !prepare_codec(p))
        rc = err_set(e, ERR_LOCAL, ENOMEM, "no memory for a lane's pages");
    if (!rc && keys)
        rc = file_sealer_create(keys, &p->sealer, e);
    if (rc)
        compact_packer_destroy(p);
    else
        *out = p;
    return rc;
}

void compact_packer_destroy(struct compact_packer *p)
{
    if (!p)
        return;
    file_sealer_destroy(p->sealer);
    ZSTD_freeCCtx(p->zstd);
    free(p->lz_state);
    free(p->packed);
    free(p->soft);
    free(p->raw);
    free(p);
}

/* Compressed or encrypted data, say. */
static bool looks_random(const uint8_t *page)
{
    uint64_t seen[4] = {0};
    unsigned values = 0;

    for (unsigned i = 0; i < PAGE_BYTES; i += SAMPLE_STEP)
        seen[page[i] >> 6] |= 1ull << (page[i] & 63);
    for (unsigned i = 0; i < 4; i++)
        values += (unsigned)__builtin_popcountll(seen[i]);
    return values >= RANDOM_VALUES;
}

void *compact_packer_room(struct compact_packer *p, const void *content)
{
    p->next_is_raw = p->codec == CODEC_NONE || looks_random(content);
    return p->next_is_raw ? p->raw + (size_t)p->raw_pages * PAGE_BYTES
                          : p->soft + (size_t)p->soft_pages * PAGE_BYTES;
}

void *compact_packer_room_ahead(struct compact_packer *p, unsigned pages)
{
    return p->codec == CODEC_NONE ? p->raw + ((size_t)p->raw_pages + pages) * PAGE_BYTES : NULL;
}

/* A ticket: twice its place among its kind, and 1 for a raw one, which is summed while it is in the
 * first cache. */
unsigned compact_packer_keep(struct compact_packer *p)
{
    if (!p->next_is_raw)
        return p->soft_pages++ * 2;
    if (!p->sealer)
        p->raw_crc = crc32c(p->raw_crc, p->raw + (size_t)p->raw_pages * PAGE_BYTES, PAGE_BYTES);
    return p->raw_pages++ * 2 + 1;
}

static size_t compress(struct compact_packer *p, size_t bytes)
{
    /* Less than an eighth of a page is not worth a second piece. */
    const size_t room_bytes = bytes > PAGE_BYTES ? bytes - PAGE_BYTES / 8 : bytes;

    if (p->codec == CODEC_ZSTD) {
        const size_t n = ZSTD_compress2(p->zstd, p->packed, room_bytes, p->soft, bytes);

        return ZSTD_isError(n) ? 0 : n;
    }

    const int n = LZ4_compress_fast_extState(
        p->lz_state, (char *)p->soft, (char *)p->packed, (int)bytes, (int)room_bytes, 1);

    return n > 0 ? (size_t)n : 0;
}

void compact_packer_finish(struct compact_packer *p, struct compact_chunk *c)
{
    const size_t soft_bytes = (size_t)p->soft_pages * PAGE_BYTES;

    p->packed_bytes = soft_bytes ? compress(p, soft_bytes) : 0;
    c->pages = (uint16_t)(p->soft_pages + p->raw_pages);
    c->raw_pages = p->packed_bytes ? (uint16_t)p->raw_pages : c->pages;
    c->codec = p->packed_bytes ? (uint8_t)p->codec : CODEC_NONE;
    c->stored_bytes = (uint32_t)((size_t)p->raw_pages * PAGE_BYTES +
                                 (p->packed_bytes ?: soft_bytes) +
                                 (p->sealer ? FILE_TAG_BYTES : 0));
}

unsigned compact_packer_slot(const struct compact_packer *p, unsigned ticket)
{
    return ticket & 1 ? ticket / 2 : p->raw_pages + ticket / 2;
}

int compact_packer_seal(struct compact_packer *p, uint32_t number, struct compact_chunk *c,
    struct iovec parts[static COMPACT_MAX_PARTS], int *count, struct err *e)
{
    const size_t raw_bytes = (size_t)p->raw_pages * PAGE_BYTES;
    const size_t soft_bytes = (size_t)p->soft_pages * PAGE_BYTES;
    const struct file_piece piece = {
        FILE_CHUNK, number, c->extent, (uint64_t)c->pages * PAGE_BYTES, p->uuid};
    int rc = 0, n = 0;

    if (raw_bytes)
        parts[n++] = (struct iovec){p->raw, raw_bytes};
    if (soft_bytes)
        parts[n++] = p->packed_bytes ? (struct iovec){p->packed, p->packed_bytes}
                                     : (struct iovec){p->soft, soft_bytes};
    if (p->sealer) {
        rc = file_seal(p->sealer, &piece, parts, n, p->tag, e);
        parts[n++] = (struct iovec){p->tag, sizeof(p->tag)};
    }
    c->crc = p->raw_crc; /* encrypted: 0, of nothing */
    for (int i = raw_bytes && !p->sealer; i < n; i++)
        c->crc = crc32c(c->crc, parts[i].iov_base, parts[i].iov_len);
    *count = n;
    p->soft_pages = p->raw_pages = 0;
    p->raw_crc = 0;
    return rc;
}

/* ---- unpacking ---- */

struct compact_unpacker {
    uint8_t *pages;
    uint8_t *packed; /* what is compressed, and the tag */
    ZSTD_DCtx *zstd;
};

int compact_unpacker_create(struct compact_unpacker **out, struct err *e)
{
    struct compact_unpacker *u = calloc(1, sizeof(*u));

    if (!u)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    u->pages = aligned_alloc(PAGE_BYTES, PAGES_BYTES);
    u->packed = malloc(PAGES_BYTES + FILE_TAG_BYTES);
    u->zstd = ZSTD_createDCtx();
    if (!u->pages || !u->packed || !u->zstd) {
        compact_unpacker_destroy(u);
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for a lane's pages");
    }
    *out = u;
    return 0;
}

void compact_unpacker_destroy(struct compact_unpacker *u)
{
    if (!u)
        return;
    ZSTD_freeDCtx(u->zstd);
    free(u->packed);
    free(u->pages);
    free(u);
}

static size_t raw_bytes_of(const struct compact_chunk *c)
{
    return (size_t)c->raw_pages * PAGE_BYTES;
}

int compact_chunk_check(
    const struct compact_chunk *c, uint64_t extent_count, bool encrypted, struct err *e)
{
    const size_t tag_bytes = encrypted ? FILE_TAG_BYTES : 0;
    const unsigned soft_pages = (unsigned)c->pages - c->raw_pages;
    const size_t least_bytes = raw_bytes_of(c) + (soft_pages ? 1 : 0) + tag_bytes;
    const size_t most_bytes = raw_bytes_of(c) + (size_t)soft_pages * PAGE_BYTES + tag_bytes;

    if (c->pages && c->pages <= EXTENT_FRAMES && c->raw_pages <= c->pages &&
        c->extent < extent_count && c->codec < CODECS && (c->codec != CODEC_NONE) == !!soft_pages &&
        c->stored_bytes >= least_bytes && c->stored_bytes <= most_bytes)
        return 0;
    return err_damaged(e,
        "a chunk of %u bytes would have %u pages (%u of them raw, codec %u) of extent %u",
        c->stored_bytes, c->pages, c->raw_pages, c->codec, c->extent);
}

/* Where the chunk's bytes go: raw pages, side by side as far as they are, and what is behind them.
 */
struct parts {
    struct iovec all[EXTENT_FRAMES + 1];
    int count;
};

static void add_part(struct parts *p, void *at, size_t bytes)
{
    struct iovec *last = p->count ? &p->all[p->count - 1] : NULL;

    if (last && (uint8_t *)last->iov_base + last->iov_len == at)
        last->iov_len += bytes;
    else if (bytes)
        p->all[p->count++] = (struct iovec){at, bytes};
}

static int check_crc(const struct compact_chunk *c, uint32_t crc, struct err *e)
{
    return crc == c->crc ? 0 : err_damaged(e, "a chunk's checksum is not right");
}

static int read_parts(int fd, const struct compact_chunk *c, const struct parts *p, struct err *e)
{
    struct parts used = *p;
    const int rc = file_io_readv(fd, used.all, used.count, c->offset, e);
    uint32_t crc = 0;

    for (int i = 0; i < p->count && !rc; i++)
        crc = crc32c(crc, p->all[i].iov_base, p->all[i].iov_len);
    return rc ? rc : check_crc(c, crc, e);
}

/* In pieces, each summed while it is in a near cache. */
int compact_unpacker_read(
    struct compact_unpacker *u, int fd, const struct compact_chunk *c, struct err *e)
{
    uint32_t crc = 0;
    int rc = 0;

    for (size_t at = 0, n; at < c->stored_bytes && !rc; at += n) {
        n = c->stored_bytes - at < PIECE_BYTES ? c->stored_bytes - at : PIECE_BYTES;
        rc = file_io_read(fd, u->pages, n, c->offset + at, e);
        crc = rc ? crc : crc32c(crc, u->pages, n);
    }
    return rc ? rc : check_crc(c, crc, e);
}

/* Without the tag, which is behind the rest of what is packed. */
static int unseal(struct compact_unpacker *u, const struct compact_chunk *c, uint32_t number,
    struct file_sealer *sealer, const uint8_t *uuid, struct parts *p, struct err *e)
{
    const size_t packed_bytes = c->stored_bytes - raw_bytes_of(c) - FILE_TAG_BYTES;
    const struct file_piece piece = {
        FILE_CHUNK, number, c->extent, (uint64_t)c->pages * PAGE_BYTES, uuid};

    p->all[p->count - 1].iov_len -= FILE_TAG_BYTES;

    const int rc = file_unseal(sealer, &piece, p->all, p->count, u->packed + packed_bytes, e);

    return rc == -EBADMSG ? err_damaged(e, "a chunk is not what was encrypted") : rc;
}

static bool decompress(
    struct compact_unpacker *u, const struct compact_chunk *c, size_t packed_bytes)
{
    const size_t bytes = ((size_t)c->pages - c->raw_pages) * PAGE_BYTES;
    uint8_t *out = u->pages + raw_bytes_of(c);

    if (!bytes)
        return true;
    if (c->codec == CODEC_LZ4)
        return LZ4_decompress_safe((const char *)u->packed, (char *)out, (int)packed_bytes,
                   (int)bytes) == (int)bytes;
    /* Exactly one frame: several would decode, too. */
    return ZSTD_findFrameCompressedSize(u->packed, packed_bytes) == packed_bytes &&
           ZSTD_decompressDCtx(u->zstd, out, bytes, u->packed, packed_bytes) == bytes;
}

int compact_unpack(struct compact_unpacker *u, int fd, const struct compact_chunk *c,
    uint32_t number, struct file_sealer *sealer, const uint8_t *uuid,
    void *const into[static EXTENT_FRAMES], const uint8_t *pages[static EXTENT_FRAMES],
    struct err *e)
{
    const size_t packed_bytes = c->stored_bytes - raw_bytes_of(c);
    struct parts p = {.count = 0};

    for (unsigned i = 0; i < c->pages; i++) {
        uint8_t *own = u->pages + (size_t)i * PAGE_BYTES;
        uint8_t *at = i < c->raw_pages && into[i] ? into[i] : own;

        pages[i] = at;
        if (i < c->raw_pages)
            add_part(&p, at, PAGE_BYTES);
    }
    add_part(&p, u->packed, packed_bytes);

    int rc = read_parts(fd, c, &p, e);

    if (!rc && sealer)
        rc = unseal(u, c, number, sealer, uuid, &p, e);
    if (!rc && !decompress(u, c, packed_bytes - (sealer ? FILE_TAG_BYTES : 0)))
        rc = err_damaged(e, "a chunk cannot be decompressed");
    return rc;
}
