/* SPDX-License-Identifier: MIT */
/*
 * engine/aux: what a guest owns that is not its memory and too much for the pause (docs/wire.md,
 * "Auxiliary data"). A source of it is one file with two ops tables, and a line in sources.c.
 *
 *   source   begin   look more more ...   look more ...   look(late) more ...   stop   end
 *   dest     begin   apply, withdraw ...                                   complete   end
 *
 * A look closes what has changed until then; more hands it out, each key once. So a round has a
 * key once, and rounds are in order at the other end (BORDER). The late look is that with the guest
 * suspended.
 *
 * out.h and in.h drive them, under a lock for each source: an op need not lock anything, and may
 * be called on any lane's thread. Errors: 0 or -errno with *e set.
 */
#ifndef ENGINE_AUX_SOURCE_H
#define ENGINE_AUX_SOURCE_H

#include "engine/xen/xen.h"
#include "transport/aux.h"

/* A batch and room for its contents. */
struct aux_buffer {
    struct aux_batch batch;
    uint8_t contents[AUX_MAX_ENTRIES][AUX_MAX_CONTENT_BYTES];
};

/* What has changed since the last look. */
struct aux_left {
    uint64_t entries, bytes;
};

struct aux_out_ops {
    const char *name;
    /* Does the domain have any? *state is NULL if not, or *s says what (but for name and number),
     * and changes are noted from now on. */
    int (*begin)(struct xen *x, uint32_t domid, struct aux_source *s, void **state, struct err *e);
    int (*look)(void *state, bool late, struct err *e);
    /* The next entries into *b, but for its source; none when all were handed out. */
    int (*more)(void *state, struct aux_buffer *b, struct err *e);
    int (*left)(void *state, struct aux_left *left, struct err *e);
    /* Nothing is noted any more. Once, before end. */
    int (*stop)(void *state, struct err *e);
    void (*end)(void *state);
};

struct aux_in_ops {
    const char *name;
    uint32_t version;
    /* What is taken at most, whatever the other end announces. */
    uint64_t most_entries, most_bytes;
    /* The domain is empty. ERR_REFUSED if this host cannot take it. */
    int (*begin)(
        struct xen *x, uint32_t domid, const struct aux_source *s, void **state, struct err *e);
    /* Those of the batch that are set, and those that are withdrawn: both were checked against what
     * came before, and are within what was announced. */
    int (*apply)(void *state, const struct aux_batch *b, struct err *e);
    int (*withdraw)(void *state, const struct aux_batch *b, struct err *e);
    /* All of it is there. */
    int (*complete)(void *state, struct err *e);
    void (*end)(void *state);
};

/* All that are known, up to a NULL. */
extern const struct aux_out_ops *const aux_out_sources[];
extern const struct aux_in_ops *const aux_in_sources[];

#endif
