/* SPDX-License-Identifier: MIT */
/*
 * Token bucket: caps the bytes that all lanes of a migration send together. A taker pays at once,
 * going into debt if need be, and then sleeps until the debt is paid. So nobody starves, nobody
 * asks twice, and a record larger than the burst passes. Safe from many threads; the mutex guards
 * ready_ns. The rate may change meanwhile: who sleeps goes on then, and what is owed is the next
 * taker's to wait for, so the rate holds however often it changes.
 */
#ifndef SCHED_BUCKET_H
#define SCHED_BUCKET_H

#include "base/cancel.h"
#include "base/deadline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* How much unused time may be saved up. Half a lane's socket buffer at 1 Gbit/s: long enough that
 * timers keep up, short enough that the cap holds over any second. */
#define BUCKET_BURST_NS (20 * NS_PER_MS)

/* No lane shall stand still for as long as its peer waits for it. */
#define BUCKET_LEAST_BITS_PER_S 1000000

struct bucket {
    _Atomic uint64_t bits_per_s; /* 0: no cap */
    int64_t burst_ns;
    const struct cancel *cancel;
    pthread_mutex_t lock;
    int64_t ready_ns; /* when everything taken so far has been paid for */
};

/* cancel cuts sleeps short; it must outlive the bucket. */
void bucket_init(struct bucket *b, uint64_t bits_per_s, const struct cancel *cancel);
void bucket_destroy(struct bucket *b);

void bucket_set_rate(struct bucket *b, uint64_t bits_per_s);

/* Take that many bytes and wait for them. */
void bucket_take(struct bucket *b, size_t bytes);

/* How much a taker should take at once: small enough that the rate holds over any second and
 * concurrent takers get even shares, large enough that asking costs nothing. 0: all at once. */
size_t bucket_slice_bytes(uint64_t bits_per_s);

/* The clock reading up to which a taker at now_ns has to wait; advances *ready_ns. Pure but for
 * that, for tests. */
int64_t bucket_charge(int64_t *ready_ns, int64_t now_ns, int64_t burst_ns, double cost_ns);

#endif
