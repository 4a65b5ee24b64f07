/* SPDX-License-Identifier: MIT */
/*
 * Cancel: one object per migration. A flag that only ever goes up, and an eventfd that becomes
 * readable with it and stays so, to be polled beside every descriptor. Any thread or signal
 * handler may fire it.
 */
#ifndef BASE_CANCEL_H
#define BASE_CANCEL_H

#include "base/err.h"

#include <stdatomic.h>

struct cancel {
    atomic_bool fired;
    int event_fd;
};

int cancel_init(struct cancel *c, struct err *e);
void cancel_destroy(struct cancel *c);

/* Async-signal-safe. */
void cancel_fire(struct cancel *c);

static inline bool cancel_is_fired(const struct cancel *c)
{
    return c && atomic_load_explicit(&c->fired, memory_order_acquire);
}

#endif
