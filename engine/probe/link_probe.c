/* SPDX-License-Identifier: MIT */
#include "engine/probe/link_probe.h"

#include "base/deadline.h"
#include "transport/record.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>

#define SAMPLE_NS (100 * NS_PER_MS)
/* What the kernel takes at once on a new connection says nothing about the link. */
enum { FIRST_SAMPLES = 3, MOST_SAMPLES = 64 };
/* On a slow link, what is still under way when the source stops may take long. */
#define DRAIN_NS (60 * NS_PER_S)

/* Destination: a source that goes on for longer, or sends more, is not measuring. */
#define SERVE_NS         (60 * NS_PER_S)
#define SERVE_MOST_BYTES (64ull << 30)

struct filling {
    struct channel *ch;
    pthread_t thread;
    int64_t until_ns;
    uint64_t most_bytes;
    const void *filler;
    struct lane_filled filled;
    struct err e;
    _Atomic bool sent; /* or failed */
    bool started;
};

static int fill(struct filling *f)
{
    uint8_t body[LANE_FILLED_BYTES];
    uint64_t bytes = 0;
    uint32_t type;
    size_t len_bytes;
    int rc = 0;

    do {
        struct iovec part = {(void *)f->filler, RECORD_MAX_FILLER_BYTES};

        rc = record_send(f->ch, RECORD_FILLER, &part, 1, &f->e);
        bytes += RECORD_MAX_FILLER_BYTES;
    } while (!rc && !deadline_passed(f->until_ns) && bytes < f->most_bytes);
    if (!rc)
        rc = record_send(f->ch, RECORD_FILLER_END, NULL, 0, &f->e);
    atomic_store(&f->sent, true);
    if (!rc)
        rc = record_recv(
            f->ch, body, sizeof(body), &type, &len_bytes, deadline_in(DRAIN_NS), &f->e);
    if (rc == -ENODATA && !err_is_set(&f->e))
        return err_set(&f->e, ERR_PEER, EPROTO, "%s: ended without FILLED", f->ch->name);
    if (!rc && type != RECORD_FILLED)
        rc = record_unexpected(f->ch, type, &f->e);
    return rc ? rc : lane_decode_filled(f->ch, body, len_bytes, &f->filled, &f->e);
}

static void *run_filling(void *arg)
{
    struct filling *f = arg;

    fill(f);
    atomic_store(&f->sent, true);
    return NULL;
}

static bool all_sent(const struct filling *lanes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!atomic_load(&lanes[i].sent))
            return false;
    return true;
}

static uint64_t sent_bytes(const struct filling *lanes, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += atomic_load_explicit(&lanes[i].ch->sent_bytes, memory_order_relaxed);
    return sum;
}

/* How far the samples lie from their mean, as a share of it. */
static double spread_of(const double *samples, unsigned count)
{
    double sum = 0, off = 0;

    for (unsigned i = 0; i < count; i++)
        sum += samples[i];
    if (sum <= 0)
        return 0;
    for (unsigned i = 0; i < count; i++)
        off += fabs(samples[i] - sum / count);
    return off / sum;
}

static double measure_spread(const struct filling *lanes, unsigned count)
{
    double samples[MOST_SAMPLES];
    unsigned taken = 0, kept = 0;
    uint64_t before = sent_bytes(lanes, count);
    int64_t before_ns = now_ns();

    while (!all_sent(lanes, count)) {
        sleep_until_ns(before_ns + SAMPLE_NS);

        const uint64_t now_bytes = sent_bytes(lanes, count);
        const int64_t at_ns = now_ns();

        if (taken++ >= FIRST_SAMPLES && kept < MOST_SAMPLES && !all_sent(lanes, count))
            samples[kept++] = (double)(now_bytes - before) / (double)(at_ns - before_ns);
        before = now_bytes;
        before_ns = at_ns;
    }
    return spread_of(samples, kept);
}

static int sum_up(const struct filling *lanes, unsigned count, struct link_probe *p, struct err *e)
{
    int64_t cpu_ns = 0;
    uint64_t sent = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct lane_filled *l = &lanes[i].filled;
        const struct channel_costs *c = &lanes[i].ch->costs;

        cpu_ns += c->seal_cpu_ns + c->write_cpu_ns;
        sent += atomic_load(&lanes[i].ch->sent_bytes);
        p->bytes += l->bytes;
        if (l->ns > 0)
            p->bytes_per_s += (double)l->bytes * 1e9 / (double)l->ns;
    }
    p->cpu_ns_per_byte = sent ? (double)cpu_ns / (double)sent : 0;
    return p->bytes_per_s > 0 ? 0
                              : err_set(e, ERR_PEER, ETIMEDOUT,
                                    "too little arrived there to tell how fast the link is");
}

int link_probe_run(struct channel *const *lanes, unsigned lane_count, int64_t span_ns,
    uint64_t most_bytes, struct link_probe *result, struct err *e)
{
    struct filling fillings[MAX_LANES] = {0};
    uint8_t *filler = malloc(RECORD_MAX_FILLER_BYTES);
    int rc = 0;

    *result = (struct link_probe){0};
    if (!filler)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    for (size_t at = 0; at < RECORD_MAX_FILLER_BYTES; at += 256)
        if (getrandom(filler + at, 256, 0) != 256)
            rc = err_sys(e, ERR_LOCAL, errno, "no random numbers to fill the link with");
    for (unsigned i = 0; i < lane_count && !rc; i++) {
        struct filling *f = &fillings[i];

        f->ch = lanes[i];
        f->until_ns = deadline_in(span_ns);
        f->most_bytes = most_bytes / lane_count;
        f->filler = filler;
        rc = -pthread_create(&f->thread, NULL, run_filling, f);
        if (rc)
            err_sys(e, ERR_LOCAL, -rc, "cannot start a thread");
        f->started = !rc;
    }
    if (!rc)
        result->spread = measure_spread(fillings, lane_count);
    for (unsigned i = 0; i < lane_count; i++) {
        if (!fillings[i].started)
            continue;
        if (rc) /* one did not start: do not wait for the others */
            channel_shutdown(lanes[i]);
        pthread_join(fillings[i].thread, NULL);
        if (err_is_set(&fillings[i].e) && !err_is_set(e))
            rc = err_take(e, &fillings[i].e);
    }
    free(filler);
    return rc ? rc : sum_up(fillings, lane_count, result, e);
}

static int take_filler(struct channel *ch, void *buf, struct lane_filled *filled, struct err *e)
{
    const int64_t end_ns = deadline_in(SERVE_NS);
    int64_t first_ns = 0;
    uint32_t type = RECORD_FILLER;
    size_t len_bytes;
    int rc = 0;

    while (!rc) {
        rc = record_recv(ch, buf, RECORD_MAX_FILLER_BYTES, &type, &len_bytes, end_ns, e);
        if (rc == -ENODATA && !err_is_set(e))
            rc = err_set(e, ERR_PEER, EPROTO, "%s: ended without FILLER_END", ch->name);
        if (rc || type == RECORD_FILLER_END)
            break;
        if (type != RECORD_FILLER)
            return record_unexpected(ch, type, e);
        if (deadline_passed(end_ns) || filled->bytes > SERVE_MOST_BYTES)
            return err_set(
                e, ERR_PEER, EPROTO, "%s: goes on for longer than a measurement may", ch->name);
        if (first_ns) {
            filled->bytes += len_bytes;
            filled->ns = now_ns() - first_ns;
        } else {
            first_ns = now_ns();
        }
    }
    return rc;
}

int link_probe_serve(struct channel *lane, struct err *e)
{
    struct lane_filled filled = {0};
    void *buf = malloc(RECORD_MAX_FILLER_BYTES);
    int rc = buf ? take_filler(lane, buf, &filled, e)
                 : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    free(buf);
    return rc ? rc : lane_send_filled(lane, &filled, e);
}
