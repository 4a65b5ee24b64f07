/* SPDX-License-Identifier: MIT */
/* --bandwidth: all channels of a migration draw on one bucket. */
#ifndef ENGINE_PACED_H
#define ENGINE_PACED_H

#include "sched/bucket.h"
#include "transport/channel.h"

/* b was made for that rate, and outlives the channel. */
void channel_pace(struct channel *ch, struct bucket *b, uint64_t bits_per_s);

#endif
