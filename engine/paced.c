/* SPDX-License-Identifier: MIT */
#include "engine/paced.h"

static void take_from_bucket(void *arg, size_t bytes)
{
    bucket_take(arg, bytes);
}

void channel_pace(struct channel *ch, struct bucket *b, uint64_t bits_per_s)
{
    ch->throttle = take_from_bucket;
    ch->throttle_arg = b;
    ch->slice_bytes = bucket_slice_bytes(bits_per_s);
}
