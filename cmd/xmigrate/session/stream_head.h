/* SPDX-License-Identifier: MIT */
/*
 * How libxl's own stream begins: its header and the record that hands the descriptor to the save
 * helper. It is always the same, so the destination gives it to its libxl without waiting for the
 * source's, whose word has to agree with it. (libxl 4.17 crashes when its stream ends or makes no
 * sense before the helper runs: it calls a completion that nobody has set yet.)
 */
#ifndef CMD_XMIGRATE_SESSION_STREAM_HEAD_H
#define CMD_XMIGRATE_SESSION_STREAM_HEAD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_HEAD_BYTES = 24 };

extern const uint8_t stream_head_bytes[STREAM_HEAD_BYTES];

struct stream_head {
    uint8_t bytes[STREAM_HEAD_BYTES];
    size_t have_bytes;
};

/* Take what belongs to the head from data; returns how much that was. */
size_t stream_head_take(struct stream_head *h, const void *data, size_t len_bytes);

static inline bool stream_head_complete(const struct stream_head *h)
{
    return h->have_bytes == STREAM_HEAD_BYTES;
}

/* Of a complete one. ERR_PEER (-EBADMSG). */
int stream_head_check(const struct stream_head *h, struct err *e);

#endif
