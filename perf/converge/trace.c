/* SPDX-License-Identifier: MIT */
#include "perf/converge/trace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { MOST_STEPS = 12 << 20 };

struct maker {
    uint64_t rng;
    uint32_t pages;
    double step_s;
    uint32_t position, run_left; /* of what is written in order */
    double until_s;              /* when the burst or phase ends */
    int on;
    uint32_t base; /* of the region in use */
};

const char *workload_name(enum workload w)
{
    static const char *const names[] = {"idle", "uniform", "hot", "zipf", "sweep", "bursts",
        "phases", "server", "files", "database"};

    return names[w];
}

/* A step of splitmix64. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

double trace_uniform(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

static uint32_t pick(struct maker *m, uint32_t first, uint32_t count)
{
    return (first + (uint32_t)(next_random(&m->rng) % count)) % m->pages;
}

/* Rank r has weight 1/r; ranks are spread over the region. */
static uint32_t pick_zipf(struct maker *m, uint32_t first, uint32_t count)
{
    const uint32_t rank = (uint32_t)pow(count, trace_uniform(&m->rng)) - 1;

    return (first + (uint32_t)((uint64_t)rank * 2654435761u % count)) % m->pages;
}

/* In runs of some length at random places. */
static uint32_t pick_run(struct maker *m, uint32_t first, uint32_t count, uint32_t longest)
{
    if (!m->run_left) {
        m->position = (uint32_t)(next_random(&m->rng) % count);
        m->run_left = 1 + (uint32_t)(next_random(&m->rng) % longest);
    }
    m->run_left--;
    return (first + m->position++ % count) % m->pages;
}

/* On and off, each for a random time around its mean. */
static int switched_on(struct maker *m, double now_s, double on_s, double off_s)
{
    if (now_s >= m->until_s) {
        m->on = !m->on;
        m->until_s = now_s + (m->on ? on_s : off_s) * (0.5 + trace_uniform(&m->rng));
        if (m->on)
            m->base = (uint32_t)(next_random(&m->rng) % m->pages);
    }
    return m->on;
}

static uint32_t next_page(struct maker *m, enum workload w, double now_s)
{
    const uint32_t n = m->pages;
    const double u = trace_uniform(&m->rng);

    switch (w) {
    case WORK_IDLE: /* a kernel's own few pages */
        return u < 20 * m->step_s ? pick(m, 0, 64) : TRACE_NO_WRITE;
    case WORK_UNIFORM:
        return pick(m, 0, n);
    case WORK_HOT:
        return u < 0.9 ? pick(m, n / 4, n / 10) : pick(m, 0, n);
    case WORK_ZIPF:
    case WORK_SERVER:
        return pick_zipf(m, 0, n);
    case WORK_SWEEP:
        return m->position++ % n;
    case WORK_BURSTS:
        return switched_on(m, now_s, 0.3, 0.9) ? pick(m, n / 8, n / 2) : TRACE_NO_WRITE;
    case WORK_PHASES:
        return switched_on(m, now_s, 5, 4) || u < 0.05 ? pick(m, m->base, n / 4) : TRACE_NO_WRITE;
    case WORK_FILES:
        return u < 0.2 ? pick_zipf(m, 0, n / 16) : pick_run(m, n / 4, n / 2, 1024);
    case WORK_DATABASE:
        /* A log that goes round; a buffer pool; every few seconds a checkpoint walks over it. */
        if (u < 0.3)
            return n / 64 + m->position++ % (n / 32);
        if (switched_on(m, now_s, 1, 3))
            return (m->base + m->run_left++) % (n / 2) + n / 4;
        return u < 0.65 ? pick_zipf(m, n / 4, n / 2) : TRACE_NO_WRITE;
    default:
        return TRACE_NO_WRITE;
    }
}

int trace_make(struct trace *t, enum workload w, uint64_t seed, uint32_t guest_pages,
    double pages_per_s, int64_t span_ns)
{
    struct maker m = {.rng = seed, .pages = guest_pages, .step_s = 1 / pages_per_s};
    const double steps = (double)span_ns / 1e9 * pages_per_s;

    t->length = steps < 1 ? 1 : steps < MOST_STEPS ? (size_t)steps : (size_t)MOST_STEPS;
    t->step_ns = 1e9 / pages_per_s;
    t->busy_share = w == WORK_SERVER ? 0.4 : 1;
    t->pages = malloc(t->length * sizeof(*t->pages));
    if (!t->pages)
        return -ENOMEM;
    for (size_t i = 0; i < t->length; i++)
        t->pages[i] = next_page(&m, w, (double)i * m.step_s);
    return 0;
}
