/* SPDX-License-Identifier: MIT */
#include "transport/aux.h"

#include "base/bytes.h"
#include "transport/record.h"

#include <string.h>

#define SOURCE_FLAG_OPTIONAL 1u

enum { KIND_SET = 0, KIND_WITHDRAW = 1 };

void aux_totals_add(struct aux_totals *t, const struct aux_batch *b)
{
    t->batches++;
    for (unsigned i = 0; i < b->count; i++) {
        t->withdrawn += b->entries[i].withdrawn;
        t->set += !b->entries[i].withdrawn;
        t->bytes += b->entries[i].bytes;
    }
}

static uint32_t padding_of(uint32_t bytes)
{
    return -bytes & 7;
}

/* ---- sending ---- */

size_t aux_encode_source(const struct aux_source *s, uint8_t *body)
{
    struct bytes_out out = bytes_out_init(body, AUX_SOURCE_BYTES + AUX_MAX_HEAD_BYTES);

    bytes_out_u32(&out, s->number);
    bytes_out_u32(&out, s->optional ? SOURCE_FLAG_OPTIONAL : 0);
    bytes_out_copy(&out, s->name, sizeof(s->name));
    bytes_out_u32(&out, s->version);
    bytes_out_u32(&out, s->head_bytes);
    bytes_out_u64(&out, s->most_entries);
    bytes_out_u64(&out, s->most_bytes);
    bytes_out_copy(&out, s->head, s->head_bytes);
    return out.len_bytes;
}

int aux_send_source(struct channel *ch, const struct aux_source *s, struct err *e)
{
    uint8_t body[AUX_SOURCE_BYTES + AUX_MAX_HEAD_BYTES];
    const size_t len_bytes = aux_encode_source(s, body);

    return record_send(ch, RECORD_AUX_SOURCE, &(struct iovec){body, len_bytes}, 1, e);
}

int aux_send_done(
    struct channel *ch, uint32_t source, const struct aux_totals *totals, struct err *e)
{
    uint8_t body[AUX_DONE_BYTES];
    struct bytes_out out = bytes_out_init(body, sizeof(body));

    bytes_out_u32(&out, source);
    bytes_out_u32(&out, 0);
    bytes_out_u64(&out, totals->batches);
    bytes_out_u64(&out, totals->set);
    bytes_out_u64(&out, totals->withdrawn);
    bytes_out_u64(&out, totals->bytes);
    return record_send(ch, RECORD_AUX_DONE, &(struct iovec){body, sizeof(body)}, 1, e);
}

int aux_send_batch(struct channel *ch, const struct aux_batch *b, struct err *e)
{
    static const uint8_t zeros[8];
    uint8_t front[AUX_BATCH_BYTES + AUX_MAX_ENTRIES * AUX_ENTRY_BYTES];
    struct bytes_out out = bytes_out_init(front, sizeof(front));
    struct iovec iov[1 + 2 * AUX_MAX_ENTRIES];
    int count = 1;

    bytes_out_u32(&out, b->source);
    bytes_out_u32(&out, b->count);
    for (unsigned i = 0; i < b->count; i++) {
        const struct aux_entry *entry = &b->entries[i];

        bytes_out_copy(&out, entry->key, AUX_KEY_BYTES);
        bytes_out_u32(&out, entry->withdrawn ? KIND_WITHDRAW : KIND_SET);
        bytes_out_u32(&out, entry->bytes);
        if (entry->bytes)
            iov[count++] = (struct iovec){(void *)entry->content, entry->bytes};
        if (padding_of(entry->bytes))
            iov[count++] = (struct iovec){(void *)zeros, padding_of(entry->bytes)};
    }
    iov[0] = (struct iovec){front, AUX_BATCH_BYTES + b->count * (size_t)AUX_ENTRY_BYTES};
    return record_send(ch, RECORD_AUX, iov, count, e);
}

/* ---- receiving ---- */

/* Lower-case letters, digits and '-', then NULs up to the end. */
static bool is_name(const char name[static AUX_NAME_BYTES])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    const size_t length = strnlen(name, AUX_NAME_BYTES);

    if (!length || length == AUX_NAME_BYTES || strspn(name, allowed) != length)
        return false;
    for (size_t i = length; i < AUX_NAME_BYTES; i++)
        if (name[i])
            return false;
    return true;
}

const char *aux_decode_source(const void *body, size_t len_bytes, struct aux_source *s)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);

    if (len_bytes < AUX_SOURCE_BYTES)
        return "its length";
    s->number = bytes_in_u32(&in);
    const uint32_t flags = bytes_in_u32(&in);
    s->optional = flags & SOURCE_FLAG_OPTIONAL;
    memcpy(s->name, bytes_in_take(&in, AUX_NAME_BYTES), AUX_NAME_BYTES);
    s->version = bytes_in_u32(&in);
    s->head_bytes = bytes_in_u32(&in);
    s->most_entries = bytes_in_u64(&in);
    s->most_bytes = bytes_in_u64(&in);
    if (s->head_bytes > AUX_MAX_HEAD_BYTES || bytes_in_left(&in) != s->head_bytes)
        return "its length";
    memcpy(s->head, bytes_in_take(&in, s->head_bytes), s->head_bytes);
    if (flags & ~SOURCE_FLAG_OPTIONAL)
        return "reserved bits are set";
    if (s->number >= AUX_MAX_SOURCES)
        return "the source's number";
    return is_name(s->name) ? NULL : "the source's name";
}

const char *aux_decode_done(
    const void *body, size_t len_bytes, uint32_t *source, struct aux_totals *totals)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);

    *source = bytes_in_u32(&in);
    const uint32_t reserved = bytes_in_u32(&in);
    totals->batches = bytes_in_u64(&in);
    totals->set = bytes_in_u64(&in);
    totals->withdrawn = bytes_in_u64(&in);
    totals->bytes = bytes_in_u64(&in);
    if (!bytes_in_done(&in))
        return "its length";
    if (reserved)
        return "reserved bits are set";
    return *source < AUX_MAX_SOURCES ? NULL : "the source's number";
}

static const char *decode_content(struct bytes_in *in, struct aux_entry *entry)
{
    const uint32_t padding = padding_of(entry->bytes);
    static const uint8_t zeros[8];

    entry->content = bytes_in_take(in, entry->bytes);

    const uint8_t *const behind = bytes_in_take(in, padding);

    if (in->underflow)
        return "its length";
    return padding && memcmp(behind, zeros, padding) ? "padding that is not zero" : NULL;
}

const char *aux_decode_batch(const void *body, size_t len_bytes, struct aux_batch *b)
{
    struct bytes_in in = bytes_in_init(body, len_bytes);
    const char *wrong = NULL;

    b->source = bytes_in_u32(&in);
    b->count = bytes_in_u32(&in);
    if (in.underflow)
        return "its length";
    if (b->source >= AUX_MAX_SOURCES)
        return "the source's number";
    if (!b->count || b->count > AUX_MAX_ENTRIES)
        return "the number of entries";
    for (unsigned i = 0; i < b->count; i++) {
        struct aux_entry *entry = &b->entries[i];
        const uint8_t *key = bytes_in_take(&in, AUX_KEY_BYTES);
        const uint32_t kind = bytes_in_u32(&in);

        entry->bytes = bytes_in_u32(&in);
        if (in.underflow)
            return "its length";
        if (kind > KIND_WITHDRAW)
            return "an entry's kind";
        entry->withdrawn = kind == KIND_WITHDRAW;
        if (entry->bytes > (entry->withdrawn ? 0 : AUX_MAX_CONTENT_BYTES))
            return "an entry's length";
        memcpy(entry->key, key, AUX_KEY_BYTES);
    }
    for (unsigned i = 0; i < b->count && !wrong; i++)
        wrong = decode_content(&in, &b->entries[i]);
    return wrong ? wrong : bytes_in_done(&in) ? NULL : "its length";
}
