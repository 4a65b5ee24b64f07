/* SPDX-License-Identifier: MIT */
/*
 * How fast the lanes to another host are (docs/wire.md, "Measuring sessions"): all are filled at
 * once, as in a migration, and the other end counts what arrives.
 */
#ifndef ENGINE_PROBE_LINK_PROBE_H
#define ENGINE_PROBE_LINK_PROBE_H

#include "base/err.h"
#include "transport/channel.h"

#include <stdint.h>

struct link_probe {
    uint64_t bytes;         /* that arrived */
    double bytes_per_s;     /* of all lanes */
    double cpu_ns_per_byte; /* processor time of a thread here to encrypt and send a byte */
    double spread;          /* how much that varied, as a share of it */
};

/* Source: fill lanes, which are open, proven and the caller's, for about span_ns and with
 * most_bytes at most. */
int link_probe_run(struct channel *const *lanes, unsigned lane_count, int64_t span_ns,
    uint64_t most_bytes, struct link_probe *result, struct err *e);

/* Destination: drain one lane until the source has enough. */
int link_probe_serve(struct channel *lane, struct err *e);

#endif
