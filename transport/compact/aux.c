/* SPDX-License-Identifier: MIT */
#include "transport/compact/aux.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_BYTES = 24 + 16 }; /* the image header and the domain header, of libxc */

static uint32_t offset_of(const uint8_t *key)
{
    return get_le32(key + AUX_KEY_BYTES);
}

void compact_aux_encode_key(const uint8_t key[static AUX_KEY_BYTES], uint32_t offset,
    uint32_t bytes, uint8_t out[static COMPACT_AUX_KEY_BYTES])
{
    memcpy(out, key, AUX_KEY_BYTES);
    put_le32(out + AUX_KEY_BYTES, offset);
    put_le32(out + AUX_KEY_BYTES + 4, bytes);
}

/* ---- reading ---- */

static int take_source(struct compact_aux *a, const uint8_t *body, size_t len_bytes,
    uint64_t frame_count, struct err *e)
{
    const struct compact_aux_part *before = a->count ? &a->parts[a->count - 1] : NULL;
    const uint64_t least = before ? before->first_frame + before->source.most_entries : 0;
    struct compact_aux_part *p = &a->parts[a->count];

    if (a->count == AUX_MAX_SOURCES || len_bytes < COMPACT_AUX_SOURCE_BYTES)
        return err_damaged(e, "a source of auxiliary data too many, or of %zu bytes", len_bytes);
    p->first_frame = get_le64(body);

    const char *wrong = aux_decode_source(
        body + COMPACT_AUX_SOURCE_BYTES, len_bytes - COMPACT_AUX_SOURCE_BYTES, &p->source);

    if (wrong)
        return err_damaged(e, "a source of auxiliary data: %s", wrong);
    if (p->source.number != a->count)
        return err_damaged(
            e, "the source of auxiliary data %u comes as number %u", p->source.number, a->count);
    if (p->first_frame % EXTENT_FRAMES || p->first_frame < least || p->first_frame > frame_count ||
        p->source.most_entries > frame_count - p->first_frame)
        return err_damaged(e,
            "auxiliary data \"%s\" would be in %" PRIu64 " frames from 0x%" PRIx64, p->source.name,
            p->source.most_entries, p->first_frame);
    p->key_count = 0;
    p->keys = NULL;
    a->count++;
    return 0;
}

/* Of the last source; ascending. */
static int take_keys(struct compact_aux *a, const uint8_t *body, size_t len_bytes, struct err *e)
{
    struct compact_aux_part *p = a->count ? &a->parts[a->count - 1] : NULL;
    const uint64_t more = len_bytes / COMPACT_AUX_KEY_BYTES;
    uint8_t *keys;

    if (!p || len_bytes % COMPACT_AUX_KEY_BYTES || !more)
        return err_damaged(e, "keys of auxiliary data, of %zu bytes", len_bytes);
    keys = realloc(p->keys, (p->key_count + more) * COMPACT_AUX_KEY_BYTES);
    if (!keys)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for keys of auxiliary data");
    p->keys = keys;
    memcpy(keys + p->key_count * COMPACT_AUX_KEY_BYTES, body, len_bytes);
    for (uint64_t i = 0; i < more; i++, p->key_count++) {
        const uint8_t *key = keys + p->key_count * COMPACT_AUX_KEY_BYTES;
        const uint32_t offset = offset_of(key), bytes = compact_aux_key_bytes(key);

        if (offset >= p->source.most_entries || bytes > AUX_MAX_CONTENT_BYTES ||
            (p->key_count && offset <= offset_of(key - COMPACT_AUX_KEY_BYTES)))
            return err_damaged(e,
                "auxiliary data \"%s\": an entry of %u bytes in frame %u of its own",
                p->source.name, bytes, offset);
    }
    return 0;
}

int compact_aux_read(
    struct compact_aux *a, const struct iovec *head, uint64_t frame_count, struct err *e)
{
    struct bytes_in in = bytes_in_init(head->iov_base, head->iov_len);
    int rc = 0;

    a->count = 0;
    a->states_bytes = head->iov_len;
    bytes_in_take(&in, HEADERS_BYTES);
    while (!rc && !in.underflow && bytes_in_left(&in)) {
        const size_t at = in.pos_bytes;
        const uint32_t type = bytes_in_u32(&in), len_bytes = bytes_in_u32(&in);
        const uint8_t *body = bytes_in_take(&in, len_bytes);

        bytes_in_take(&in, -len_bytes & 7);
        if (in.underflow)
            rc = err_damaged(e, "its section HEAD ends within a record");
        else if (type == V3_AUX_SOURCE)
            rc = take_source(a, body, len_bytes, frame_count, e);
        else if (type == V3_AUX_KEYS)
            rc = take_keys(a, body, len_bytes, e);
        else if (a->count)
            rc = err_damaged(e, "%s comes behind auxiliary data", v3_name(type));
        if (a->count && at < a->states_bytes)
            a->states_bytes = at;
    }
    if (rc)
        compact_aux_destroy(a);
    return rc;
}

int compact_aux_check(const struct compact_aux *a, const struct compact_table *t, struct err *e)
{
    const uint64_t first = compact_aux_guest_frames(a, t->frame_count) / EXTENT_FRAMES;
    uint64_t found[AUX_MAX_SOURCES] = {0};

    for (uint64_t x = compact_next_group(t, first); a->count && x < t->extent_count;
         x = compact_next_group(t, x + 1)) {
        uint64_t entries[EXTENT_FRAMES];
        const unsigned count = compact_entries_of(t, x, entries);

        for (unsigned i = 0; i < count; i++) {
            const uint64_t frame = v3_entry_pfn(entries[i]);
            const uint8_t *key;
            uint32_t bytes;
            const struct compact_aux_part *p = compact_aux_find(a, frame, &key, &bytes);

            if (!p || v3_entry_type(entries[i]) != V3_PAGE_NOTAB)
                return err_damaged(
                    e, "its frame 0x%" PRIx64 " is neither the guest's nor auxiliary data", frame);
            found[p->source.number]++;
        }
    }
    for (unsigned i = 0; i < a->count; i++)
        if (found[i] != a->parts[i].key_count)
            return err_damaged(e, "auxiliary data \"%s\": %" PRIu64 " keys, and pages for %" PRIu64,
                a->parts[i].source.name, a->parts[i].key_count, found[i]);
    return 0;
}

void compact_aux_destroy(struct compact_aux *a)
{
    for (unsigned i = 0; i < a->count; i++)
        free(a->parts[i].keys);
    a->count = 0;
}

uint64_t compact_aux_guest_frames(const struct compact_aux *a, uint64_t frame_count)
{
    return a->count ? a->parts[0].first_frame : frame_count;
}

const struct compact_aux_part *compact_aux_find(
    const struct compact_aux *a, uint64_t frame, const uint8_t **key, uint32_t *bytes)
{
    const struct compact_aux_part *p = a->parts;
    uint64_t low = 0, high;

    while (p < a->parts + a->count && frame >= p->first_frame + p->source.most_entries)
        p++;
    if (p == a->parts + a->count || frame < p->first_frame)
        return NULL;
    for (high = p->key_count; low < high;) {
        const uint64_t middle = low + (high - low) / 2;

        if (offset_of(p->keys + middle * COMPACT_AUX_KEY_BYTES) < frame - p->first_frame)
            low = middle + 1;
        else
            high = middle;
    }
    *key = p->keys + low * COMPACT_AUX_KEY_BYTES;
    if (low == p->key_count || offset_of(*key) != frame - p->first_frame)
        return NULL;
    *bytes = compact_aux_key_bytes(*key);
    return p;
}
