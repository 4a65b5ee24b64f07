/* SPDX-License-Identifier: MIT */
/* Looking at all that a chain of compact files has, by several threads. */
#ifndef TRANSPORT_COMPACT_CHECK_H
#define TRANSPORT_COMPACT_CHECK_H

#include "base/cancel.h"
#include "transport/compact/chain.h"

/* Read all chunks of the chain's file of that index and compare their checksums. The error is the
 * first chunk's that is wrong, *damage_at where it begins. cancel: NULL: none. */
int compact_check_chunks(const struct compact_chain *c, unsigned index, unsigned threads,
    const struct cancel *cancel, uint64_t *damage_at, struct err *e);

/* The same of the chain's chunks that have newest pages in them, whichever file's. */
int compact_check_needed(
    const struct compact_chain *c, unsigned threads, const struct cancel *cancel, struct err *e);

/* Unpack all pages that a restore would, and compare their hashes. */
int compact_check_pages(
    const struct compact_chain *c, unsigned threads, const struct cancel *cancel, struct err *e);

#endif
