/* SPDX-License-Identifier: MIT */
#include "engine/out/compact_aux.h"

#include "base/bytes.h"
#include "engine/aux/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = 0 }; /* places count from 1 */

struct place {
    uint8_t key[AUX_KEY_BYTES];
    uint32_t next; /* with the same hash, or free */
    uint16_t bytes;
    bool there;
};

struct aux_frames {
    const struct aux_source *source;
    uint64_t first_frame;
    struct place *places; /* most_entries + 1 */
    uint32_t used;        /* places that were ever taken */
    uint32_t free_place;
    struct aux_seeds seeds;
    uint32_t *heads; /* by hash */
    uint64_t head_count;
};

int aux_frames_create(
    const struct aux_source *s, uint64_t first_frame, struct aux_frames **out, struct err *e)
{
    struct aux_frames *f = calloc(1, sizeof(*f));

    if (!f || s->most_entries >= UINT32_MAX) {
        free(f);
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for auxiliary data \"%s\"", s->name);
    }
    *f = (struct aux_frames){
        .source = s, .first_frame = first_frame, .seeds = aux_seeds_draw(), .head_count = 1024};
    while (f->head_count < s->most_entries / 2)
        f->head_count *= 2;
    f->places = calloc(s->most_entries + 1, sizeof(*f->places));
    f->heads = calloc(f->head_count, sizeof(*f->heads));
    if (!f->places || !f->heads) {
        aux_frames_destroy(f);
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for auxiliary data \"%s\"", s->name);
    }
    *out = f;
    return 0;
}

void aux_frames_destroy(struct aux_frames *f)
{
    if (!f)
        return;
    free(f->places);
    free(f->heads);
    free(f);
}

static uint32_t *head_of(const struct aux_frames *f, const uint8_t *key)
{
    uint64_t hash[2];

    aux_hash(&f->seeds, key, hash);
    return &f->heads[hash[0] & (f->head_count - 1)];
}

/* What names the key's place, or is NONE. */
static uint32_t *link_of(const struct aux_frames *f, const uint8_t *key)
{
    uint32_t *link = head_of(f, key);

    while (*link != NONE && memcmp(f->places[*link].key, key, AUX_KEY_BYTES))
        link = &f->places[*link].next;
    return link;
}

/* NONE: there is no room. */
static uint32_t take_place(struct aux_frames *f)
{
    const uint32_t at = f->free_place;

    if (at != NONE)
        f->free_place = f->places[at].next;
    return at != NONE ? at : f->used < f->source->most_entries ? ++f->used : NONE;
}

static int set(struct aux_frames *f, const struct aux_entry *entry, uint32_t *at, struct err *e)
{
    uint32_t *link = link_of(f, entry->key);

    if (*link == NONE) {
        *at = take_place(f);
        if (*at == NONE)
            return err_set(e, ERR_INTERNAL, ENOSPC,
                "auxiliary data \"%s\": there is more than was announced", f->source->name);
        memcpy(f->places[*at].key, entry->key, AUX_KEY_BYTES);
        f->places[*at].next = NONE;
        *link = *at;
    }
    *at = *link;
    f->places[*at].there = true;
    f->places[*at].bytes = (uint16_t)entry->bytes;
    return 0;
}

static int withdraw(
    struct aux_frames *f, const struct aux_entry *entry, uint32_t *at, struct err *e)
{
    uint32_t *link = link_of(f, entry->key);

    *at = *link;
    if (*at == NONE)
        return err_set(e, ERR_INTERNAL, ENOENT,
            "auxiliary data \"%s\": an entry is withdrawn that is not there", f->source->name);
    *link = f->places[*at].next;
    f->places[*at].there = false;
    f->places[*at].next = f->free_place;
    f->free_place = *at;
    return 0;
}

int aux_frames_find(
    struct aux_frames *f, const struct aux_entry *entry, uint64_t *frame, struct err *e)
{
    uint32_t at = NONE;
    const int rc = entry->withdrawn ? withdraw(f, entry, &at, e) : set(f, entry, &at, e);

    *frame = f->first_frame + at - 1;
    return rc;
}

/* ---- the file's ---- */

static int write_source(const struct aux_frames *f, struct v3_stream *s, struct err *e)
{
    uint8_t body[COMPACT_AUX_SOURCE_BYTES + AUX_SOURCE_BYTES + AUX_MAX_HEAD_BYTES];

    put_le64(body, f->first_frame);

    const size_t len_bytes = aux_encode_source(f->source, body + COMPACT_AUX_SOURCE_BYTES);

    return v3_write_record(
        s, V3_AUX_SOURCE, &(struct iovec){body, COMPACT_AUX_SOURCE_BYTES + len_bytes}, 1, e);
}

int aux_frames_write(const struct aux_frames *f, struct v3_stream *s, struct err *e)
{
    uint8_t *keys = malloc((size_t)COMPACT_AUX_RECORD_KEYS * COMPACT_AUX_KEY_BYTES);
    size_t len_bytes = 0;
    int rc = keys ? write_source(f, s, e) : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    for (uint32_t at = 1; at <= f->used && !rc; at++) {
        const struct place *p = &f->places[at];

        if (p->there) {
            compact_aux_encode_key(p->key, at - 1, p->bytes, keys + len_bytes);
            len_bytes += COMPACT_AUX_KEY_BYTES;
        }
        if (len_bytes == (size_t)COMPACT_AUX_RECORD_KEYS * COMPACT_AUX_KEY_BYTES ||
            (len_bytes && at == f->used)) {
            rc = v3_write_record(s, V3_AUX_KEYS, &(struct iovec){keys, len_bytes}, 1, e);
            len_bytes = 0;
        }
    }
    free(keys);
    return rc;
}
