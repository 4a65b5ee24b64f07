/* SPDX-License-Identifier: MIT */
/*
 * A guest's auxiliary data at the source: all the sources that it has. The story opens and closes
 * it and says when a round begins; an out announces it and has its lanes fetch batches, which go to
 * whichever lane asks. lock guards the sources' state and totals.
 */
#ifndef ENGINE_AUX_OUT_H
#define ENGINE_AUX_OUT_H

#include "engine/aux/source.h"

struct aux_out;

/* *a is NULL when the guest has none. log outlives it. */
int aux_out_open(uint32_t domid, const struct log *log, struct aux_out **a, struct err *e);
/* NULL is allowed in both. Changes are noted no more; by the close at the latest. */
int aux_out_stop(struct aux_out *a, struct err *e);
void aux_out_close(struct aux_out *a);

unsigned aux_out_count(const struct aux_out *a);
const struct aux_source *aux_out_source(const struct aux_out *a, unsigned i);
/* Of what was fetched. While no lane is busy. */
struct aux_totals aux_out_totals(const struct aux_out *a, unsigned i);
/* Can the guest do without all of it? */
bool aux_out_is_optional(const struct aux_out *a);
/* For an out that cannot carry it: ERR_REFUSED, which says what to do. */
int aux_out_refuse(const struct aux_out *a, uint32_t domid, struct err *e);

/* A round begins; late: the guest is suspended. */
int aux_out_look(struct aux_out *a, bool late, struct err *e);
/* The round's next batch: how many entries, 0 when there are no more, or -errno. */
int aux_out_next(struct aux_out *a, struct aux_buffer *b, struct err *e);
/* What changed since the round began. */
int aux_out_left(struct aux_out *a, struct aux_left *left, struct err *e);

#endif
