/* SPDX-License-Identifier: MIT */
/* --bandwidth: all channels of a migration draw on one bucket, whose rate may change. */
#ifndef ENGINE_PACED_H
#define ENGINE_PACED_H

#include "sched/bucket.h"
#include "transport/channel.h"

/* b has that rate now, and outlives the channel. May be said again with another rate, by any
 * thread, once the bucket has it. */
void channel_pace(struct channel *ch, struct bucket *b, uint64_t bits_per_s);

#endif
