/* SPDX-License-Identifier: MIT */
/*
 * Pages as real processes wrote them, a version a second (xensim/traces/record says how they were
 * taken). They are part of the program, and unpacked when they are first asked for.
 */
#ifndef XENSIM_GUEST_TRACE_H
#define XENSIM_GUEST_TRACE_H

#include <stdint.h>

enum content_trace { TRACE_NONE, TRACE_SQLITE, TRACE_KV };

/* TRACE_NONE: there is none of that name. */
enum content_trace trace_named(const char *name);

/* The 4096 bytes of a version, from 1 on, of a page that key picks: each differs from the one
 * before by what was written in a second, forwards through the trace, and then backwards. */
const void *trace_page(enum content_trace trace, uint64_t key, uint32_t version);

#endif
