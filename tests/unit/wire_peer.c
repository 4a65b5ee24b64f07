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

static uint32_t castagnoli(const uint8_t *bytes, unsigned count)
{
    uint32_t sum = ~0u;

    for (unsigned i = 0; i < count; i++) {
        sum ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            sum = sum & 1 ? sum >> 1 ^ 0x82f63b78u : sum >> 1;
    }
    return ~sum;
}

/* A table of u32, padded to eight bytes; false if it does not fit. */
static bool take_table(
    const uint8_t *body, size_t len_bytes, size_t *at, unsigned count, size_t *table)
{
    *table = *at;
    if (len_bytes - *at < 4ul * (count + count % 2))
        return false;
    *at += 4ul * (count + count % 2);
    return count % 2 == 0 || little(body + *at - 4, 4) == 0;
}

static const char *read_entries(
    const uint8_t *body, size_t *at, struct peer_pages *pages, unsigned *deltas, unsigned *others)
{
    *deltas = *others = 0;
    for (unsigned i = 0; i < pages->count; i++, *at += 8) {
        const uint64_t entry = little(body + *at, 8);
        const unsigned type = (unsigned)(entry >> 60);
        const bool content = type <= 4 || (type >= 9 && type <= 12);

        pages->entry[i].type = type;
        pages->entry[i].pfn = entry & ((1ull << 52) - 1);
        pages->entry[i].zero = entry >> 59 & 1;
        pages->entry[i].delta = entry >> 58 & 1;
        pages->entry[i].content = NULL;
        if ((type >= 5 && type <= 8) || (entry >> 52 & 0x3f) || (pages->entry[i].zero && !content))
            return "entry";
        if (pages->entry[i].delta && (type || pages->entry[i].zero))
            return "difference to what is no plain page";
        if (i && pages->entry[i].pfn <= pages->entry[i - 1].pfn)
            return "order";
        *deltas += pages->entry[i].delta;
        *others += content && !pages->entry[i].zero && !pages->entry[i].delta;
    }
    return NULL;
}

/* One block of so many pages, from at on, to into. */
static const char *read_block(const uint8_t *body, size_t len_bytes, size_t at, uint32_t word,
    unsigned in_block, uint8_t *into, struct peer_pages *pages)
{
    const uint32_t stored = word & 0x3fffffff;

    if (at + stored > len_bytes)
        return "block is cut short";
    if (word >> 30 == 3)
        return "block";
    if (word >> 30 == 2) {
        if (stored != in_block * 4096)
            return "raw block's length";
        memcpy(into, body + at, stored);
        pages->raw_blocks++;
    } else if (word >> 30 == 1) {
        if (stored == 0 || stored >= in_block * 4096 ||
            ZSTD_findFrameCompressedSize(body + at, stored) != stored ||
            ZSTD_decompress(into, in_block * 4096, body + at, stored) != in_block * 4096)
            return "zstd block";
        pages->zstd_blocks++;
    } else {
        if (stored == 0 || stored >= in_block * 4096 ||
            LZ4_decompress_safe((const char *)body + at, (char *)into, (int)stored,
                (int)in_block * 4096) != (int)in_block * 4096)
            return "LZ4 block";
        pages->lz4_blocks++;
    }
    return NULL;
}

/* Differences come first, then the others: give each entry its content. */
static const char *give_contents(const uint8_t *checks, unsigned deltas, struct peer_pages *pages)
{
    unsigned delta = 0, other = deltas;

    for (unsigned i = 0; i < pages->count; i++) {
        const unsigned type = pages->entry[i].type;
        uint8_t *content = pages->bytes + 4096ul * (pages->entry[i].delta ? delta : other);

        if (pages->entry[i].zero || (type > 4 && type < 9) || type > 12)
            continue;
        pages->entry[i].content = content;
        if (!pages->entry[i].delta) {
            other++;
            continue;
        }
        for (unsigned b = 0; pages->before[i] && b < 4096; b++)
            content[b] ^= pages->before[i][b];
        if (castagnoli(content, 4096) != little(checks + 4ul * delta++, 4))
            return "difference to another page";
    }
    return NULL;
}

const char *peer_read_pages(const uint8_t *body, size_t len_bytes, struct peer_pages *pages)
{
    size_t at = 8, checks_at, table_at;
    unsigned deltas, others, next = 0;
    const char *wrong;

    if (len_bytes < 8 || little(body + 4, 4) != 0)
        return "header";
    pages->count = (unsigned)little(body, 4);
    if (pages->count < 1 || pages->count > 1024 || len_bytes - at < 8ul * pages->count)
        return "count";
    wrong = read_entries(body, &at, pages, &deltas, &others);
    if (wrong)
        return wrong;

    const unsigned delta_blocks = (deltas + 15) / 16, blocks = delta_blocks + (others + 15) / 16;

    if (!take_table(body, len_bytes, &at, deltas, &checks_at) ||
        !take_table(body, len_bytes, &at, blocks, &table_at))
        return "table";
    pages->raw_blocks = pages->lz4_blocks = pages->zstd_blocks = 0;
    for (unsigned b = 0; b < blocks; b++) {
        const uint32_t word = (uint32_t)little(body + table_at + 4ul * b, 4);
        const unsigned end = b < delta_blocks ? deltas : deltas + others;
        const unsigned in_block = end - next < 16 ? end - next : 16;

        if (b < delta_blocks && word >> 30 == 2)
            return "raw difference";
        wrong = read_block(
            body, len_bytes, at, word, in_block, pages->bytes + 4096ul * next, pages);
        if (wrong)
            return wrong;
        next += in_block;
        at += word & 0x3fffffff;
        for (; at % 8; at++)
            if (at >= len_bytes || body[at] != 0)
                return "padding";
    }
    if (at != len_bytes)
        return "something follows";
    return give_contents(body + checks_at, deltas, pages);
}

const char *peer_read_aux(const uint8_t *body, size_t len_bytes, struct peer_aux *aux)
{
    size_t at;

    if (len_bytes < 8)
        return "header";
    aux->source = (unsigned)little(body, 4);
    aux->count = (unsigned)little(body + 4, 4);
    if (aux->source > 7)
        return "source";
    if (aux->count < 1 || aux->count > 256 || len_bytes < 8 + 40ul * aux->count)
        return "count";
    at = 8 + 40ul * aux->count;
    for (unsigned i = 0; i < aux->count; i++) {
        const uint8_t *entry = body + 8 + 40ul * i;
        const uint64_t kind = little(entry + 32, 4);

        aux->entry[i].key = entry;
        aux->entry[i].withdrawn = kind == 1;
        aux->entry[i].bytes = (unsigned)little(entry + 36, 4);
        if (kind > 1 || aux->entry[i].bytes > (kind ? 0 : 4096))
            return "entry";
        if (len_bytes - at < aux->entry[i].bytes)
            return "content is cut short";
        aux->entry[i].content = body + at;
        for (at += aux->entry[i].bytes; at % 8; at++)
            if (at >= len_bytes || body[at])
                return "padding";
    }
    return at == len_bytes ? NULL : "something follows";
}
