/* SPDX-License-Identifier: MIT */
#include "sched/bucket.h"

#include "base/deadline.h"

#include <math.h>
#include <poll.h>

/* How soon a sleeper notices another rate. */
#define LOOK_NS (100 * NS_PER_MS)
/* What is owed when the rate drops: a slice a lane. */
#define MOST_OWED_NS NS_PER_S

enum { SLICES_PER_S = 200, MIN_SLICE_BYTES = 1024, MAX_SLICE_BYTES = 256 << 10 };

void bucket_init(struct bucket *b, uint64_t bits_per_s, const struct cancel *cancel)
{
    *b = (struct bucket){
        .bits_per_s = bits_per_s,
        .burst_ns = BUCKET_BURST_NS,
        .cancel = cancel,
        .ready_ns = now_ns(),
    };
    pthread_mutex_init(&b->lock, NULL);
}

void bucket_destroy(struct bucket *b)
{
    pthread_mutex_destroy(&b->lock);
}

/* The bytes that are owed stay so, but at a much lower rate nobody is to stand still for them. */
void bucket_set_rate(struct bucket *b, uint64_t bits_per_s)
{
    const int64_t at_ns = now_ns();

    pthread_mutex_lock(&b->lock);

    const uint64_t before = atomic_load(&b->bits_per_s);
    const int64_t owed_ns = b->ready_ns - at_ns;

    b->ready_ns = at_ns;
    if (owed_ns > 0 && before && bits_per_s) {
        const double same_ns = (double)owed_ns * (double)before / (double)bits_per_s;

        b->ready_ns += (int64_t)fmin(same_ns, fmax((double)owed_ns, MOST_OWED_NS));
    }
    atomic_store(&b->bits_per_s, bits_per_s);
    pthread_mutex_unlock(&b->lock);
}

size_t bucket_slice_bytes(uint64_t bits_per_s)
{
    const uint64_t bytes = bits_per_s / 8 / SLICES_PER_S;

    if (!bits_per_s)
        return 0;
    return bytes < MIN_SLICE_BYTES   ? MIN_SLICE_BYTES
           : bytes > MAX_SLICE_BYTES ? MAX_SLICE_BYTES
                                     : (size_t)bytes;
}

int64_t bucket_charge(int64_t *ready_ns, int64_t now_ns, int64_t burst_ns, double cost_ns)
{
    if (*ready_ns < now_ns - burst_ns)
        *ready_ns = now_ns - burst_ns;
    *ready_ns += (int64_t)cost_ns;
    return *ready_ns;
}

/* Until the debt is paid, or the rate is another. */
static void sleep_off(struct bucket *b, uint64_t bits_per_s, int64_t until_ns)
{
    struct pollfd wake = {.fd = b->cancel->event_fd, .events = POLLIN};

    while (!deadline_passed(until_ns) && !cancel_is_fired(b->cancel) &&
           atomic_load_explicit(&b->bits_per_s, memory_order_relaxed) == bits_per_s)
        poll(&wake, 1, deadline_poll_ms(deadline_earlier(until_ns, deadline_in(LOOK_NS))));
}

void bucket_take(struct bucket *b, size_t bytes)
{
    const uint64_t bits_per_s = atomic_load_explicit(&b->bits_per_s, memory_order_relaxed);

    if (!bits_per_s)
        return;
    pthread_mutex_lock(&b->lock);
    const int64_t until_ns = bucket_charge(
        &b->ready_ns, now_ns(), b->burst_ns, (double)bytes * 8e9 / (double)bits_per_s);
    pthread_mutex_unlock(&b->lock);
    sleep_off(b, bits_per_s, until_ns);
}
