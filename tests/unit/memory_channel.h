/* SPDX-License-Identifier: MIT */
/* A channel over memory: what was sent is received, in order; then comes a clean end. */
#ifndef TESTS_MEMORY_CHANNEL_H
#define TESTS_MEMORY_CHANNEL_H

#include "transport/channel.h"

struct memory_channel {
    struct channel ch;
    uint8_t *bytes;
    size_t len_bytes, pos_bytes, cap_bytes;
};

void memory_channel_init(struct memory_channel *m);
void memory_channel_destroy(struct memory_channel *m);

/* Put bytes there as if they had been sent. */
void memory_channel_put(struct memory_channel *m, const void *bytes, size_t len_bytes);

/* Empty again. */
void memory_channel_reset(struct memory_channel *m);

#endif
