/* SPDX-License-Identifier: MIT */
/*
 * Little-endian bytes: fixed-width loads and stores, and two cursors that cannot leave their
 * buffer. A cursor that would is marked and stays marked: encode or decode a whole record, then
 * ask once. A marked reader yields zeros, a marked writer writes nothing.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian x86-64 hosts only");

static inline void put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline uint16_t get_le16(const void *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint32_t get_le32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint64_t get_le64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

struct bytes_out {
    uint8_t *buf;
    size_t cap_bytes;
    size_t len_bytes;
    bool overflow;
};

struct bytes_in {
    const uint8_t *buf;
    size_t len_bytes;
    size_t pos_bytes;
    bool underflow;
};

static inline struct bytes_out bytes_out_init(void *buf, size_t cap_bytes)
{
    return (struct bytes_out){.buf = buf, .cap_bytes = cap_bytes};
}

static inline struct bytes_in bytes_in_init(const void *buf, size_t len_bytes)
{
    return (struct bytes_in){.buf = buf, .len_bytes = len_bytes};
}

/* Room for n bytes, to be filled by the caller; NULL (and marked) if there is none. */
static inline void *bytes_out_reserve(struct bytes_out *o, size_t n)
{
    if (o->overflow || n > o->cap_bytes - o->len_bytes) {
        o->overflow = true;
        return NULL;
    }

    void *p = o->buf + o->len_bytes;

    o->len_bytes += n;
    return p;
}

static inline void bytes_out_copy(struct bytes_out *o, const void *src, size_t n)
{
    void *p = bytes_out_reserve(o, n);

    if (p && n)
        memcpy(p, src, n);
}

/* The next n bytes in place; NULL (and marked) if there are fewer. */
static inline const void *bytes_in_take(struct bytes_in *i, size_t n)
{
    if (i->underflow || n > i->len_bytes - i->pos_bytes) {
        i->underflow = true;
        return NULL;
    }

    const void *p = i->buf + i->pos_bytes;

    i->pos_bytes += n;
    return p;
}

static inline size_t bytes_in_left(const struct bytes_in *i)
{
    return i->underflow ? 0 : i->len_bytes - i->pos_bytes;
}

/* Everything was there and nothing is left over. */
static inline bool bytes_in_done(const struct bytes_in *i)
{
    return !i->underflow && i->pos_bytes == i->len_bytes;
}

#define BYTES_ACCESSORS(bits)                                                                      \
    static inline void bytes_out_u##bits(struct bytes_out *o, uint##bits##_t v)                    \
    {                                                                                              \
        bytes_out_copy(o, &v, sizeof(v));                                                          \
    }                                                                                              \
    static inline uint##bits##_t bytes_in_u##bits(struct bytes_in *i)                              \
    {                                                                                              \
        uint##bits##_t v = 0;                                                                      \
        const void *p = bytes_in_take(i, sizeof(v));                                               \
                                                                                                   \
        if (p)                                                                                     \
            memcpy(&v, p, sizeof(v));                                                              \
        return v;                                                                                  \
    }
BYTES_ACCESSORS(8)
BYTES_ACCESSORS(16)
BYTES_ACCESSORS(32)
BYTES_ACCESSORS(64)
#undef BYTES_ACCESSORS

#endif
