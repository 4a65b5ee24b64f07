/* SPDX-License-Identifier: MIT */
#include "tests/unit/wire_peer.h"

#include <lz4.h>
#include <string.h>
#include <zstd.h>

static uint64_t little(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

bool peer_next_record(
    const uint8_t *bytes, size_t len_bytes, size_t *pos, struct peer_record *record)
{
    if (len_bytes - *pos < 8)
        return false;
    record->type = (uint32_t)little(bytes + *pos, 4);
    record->len_bytes = (uint32_t)little(bytes + *pos + 4, 4);
    record->body = bytes + *pos + 8;
    if (len_bytes - *pos - 8 < record->len_bytes)
        return false;
    *pos += 8 + record->len_bytes;
    return true;
}

const char *peer_read_pages(const uint8_t *body, size_t len_bytes, struct peer_pages *pages)
{
    size_t at = 8, table_at;
    unsigned with_bytes = 0, next = 0;

    if (len_bytes < 8 || little(body + 4, 4) != 0)
        return "header";
    pages->count = (unsigned)little(body, 4);
    if (pages->count < 1 || pages->count > 1024 || len_bytes - at < 8ul * pages->count)
        return "count";
    for (unsigned i = 0; i < pages->count; i++, at += 8) {
        const uint64_t entry = little(body + at, 8);
        const unsigned type = (unsigned)(entry >> 60);
        const bool content = type <= 4 || (type >= 9 && type <= 12);

        pages->entry[i].type = type;
        pages->entry[i].pfn = entry & ((1ull << 52) - 1);
        pages->entry[i].zero = entry >> 59 & 1;
        pages->entry[i].content = NULL;
        if ((type >= 5 && type <= 8) || (entry >> 52 & 0x7f) || (pages->entry[i].zero && !content))
            return "entry";
        if (i && pages->entry[i].pfn <= pages->entry[i - 1].pfn)
            return "order";
        if (content && !pages->entry[i].zero)
            pages->entry[i].content = pages->bytes + 4096ul * with_bytes++;
    }

    const unsigned blocks = (with_bytes + 15) / 16;

    table_at = at;
    at += 4ul * blocks;
    if (at > len_bytes)
        return "table";
    if (blocks & 1) {
        if (len_bytes - at < 4 || little(body + at, 4) != 0)
            return "table's padding";
        at += 4;
    }
    pages->raw_blocks = pages->lz4_blocks = pages->zstd_blocks = 0;
    for (unsigned b = 0; b < blocks; b++) {
        const uint32_t word = (uint32_t)little(body + table_at + 4ul * b, 4);
        const uint32_t stored = word & 0x3fffffff;
        const unsigned in_block = with_bytes - next < 16 ? with_bytes - next : 16;

        if (at + stored > len_bytes)
            return "block is cut short";
        if (word >> 30 == 3)
            return "block";
        if (word >> 30 == 2) {
            if (stored != in_block * 4096)
                return "raw block's length";
            memcpy(pages->bytes + 4096ul * next, body + at, stored);
            pages->raw_blocks++;
        } else if (word >> 30 == 1) {
            if (stored == 0 || stored >= in_block * 4096 ||
                ZSTD_findFrameCompressedSize(body + at, stored) != stored ||
                ZSTD_decompress(pages->bytes + 4096ul * next, in_block * 4096, body + at, stored) !=
                    in_block * 4096)
                return "zstd block";
            pages->zstd_blocks++;
        } else {
            if (stored == 0 || stored >= in_block * 4096 ||
                LZ4_decompress_safe((const char *)body + at, (char *)pages->bytes + 4096ul * next,
                    (int)stored, (int)in_block * 4096) != (int)in_block * 4096)
                return "LZ4 block";
            pages->lz4_blocks++;
        }
        next += in_block;
        at += stored;
        for (; at % 8; at++)
            if (at >= len_bytes || body[at] != 0)
                return "padding";
    }
    return at == len_bytes ? NULL : "something follows";
}
