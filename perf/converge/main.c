/* SPDX-License-Identifier: MIT */
/*
 * converge: runs every workload on every link under every policy in simulated time, and writes
 * one JSON object a run to standard output. perf/converge/bench makes tables and pages of them.
 *
 *   converge all [SHARD/SHARDS [SEED]]
 *   converge one WORKLOAD RATIO LINK POLICY [SEED [TARGET_MS]]
 *   converge beside WORKLOAD RATIO LINK POLICY SEED MIB OWN_MIB FROM_STEP TOLD_SUSPEND
 *                   TOLD_FINISH SUSPEND FINISH
 *   converge trace WORKLOAD RATIO LINK SEED MIB
 *
 * RATIO is how much faster than the link the guest writes. Runs of "all" are numbered from 1; their
 * number and SEED (0) together are a run's seed: with another SEED there are other traces. "trace"
 * writes a page number a line (-: no write) for a xensim guest, after a line with how many it reads
 * a second. "beside" is the simulation of that run: with the pages that the guest has beside those
 * that the trace writes to, from the step of the trace where the guest was, with the costs (in ns)
 * that were told and then measured there, and with a token bucket for a link.
 */
#include "perf/converge/learnt.h"
#include "perf/converge/sim.h"

#include "base/deadline.h"
#include "sched/bucket.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGET_NS  (300 * NS_PER_MS)
#define STATE_NS   (5 * NS_PER_MS)
#define HORIZON_NS (120 * NS_PER_S)
#define TRACE_NS   (60 * NS_PER_S)
#define TRIPS      2 /* the result, and GO with its answer */

static const double ratios[] = {0.1, 0.3, 0.6, 0.8, 0.9, 1, 2, 4};

/* So many moves of the guest came before. Policies are compared after a few. */
static const unsigned learnt[] = {3, 0, 1, 10};

enum {
    LEARNT = sizeof(learnt) / sizeof(learnt[0]),
    RATIOS = sizeof(ratios) / sizeof(ratios[0]),
    GUEST_STEPS = 2000000, /* the most that a xensim guest reads of a trace */
};

static const struct link links[] = {
    {"1G", 1e9, false, 0}, {"1G-1ms", 1e9, false, NS_PER_MS},
    {"1G-20ms", 1e9, false, 20 * NS_PER_MS}, {"1G-halves", 1e9, true, 0}, {"10G", 10e9, false, 0},
    {"10G-1ms", 10e9, false, NS_PER_MS}, {"10G-20ms", 10e9, false, 20 * NS_PER_MS},
    {"10G-halves", 10e9, true, 0}, {"25G", 25e9, false, 0}, {"25G-1ms", 25e9, false, NS_PER_MS},
    {"25G-20ms", 25e9, false, 20 * NS_PER_MS}, {"25G-halves", 25e9, true, 0},
    {"5G", 5e9, false, 0}, /* beside real runs only */
};

enum { LINKS = sizeof(links) / sizeof(links[0]), GRID_LINKS = LINKS - 1 };

/* A faster link has larger guests to move: 256 MiB, 1 GiB, 2 GiB. */
static uint32_t guest_pages(const struct link *l)
{
    return l->bits_per_s < 5e9 ? 1u << 16 : l->bits_per_s < 20e9 ? 1u << 18 : 1u << 19;
}

static struct scenario scenario_of(const struct trace *t, const struct link *l, uint32_t pages,
    uint64_t seed, int64_t target_ns, unsigned earlier)
{
    struct scenario sc = {
        .trace = t,
        .pages = pages,
        .link = *l,
        .seed = seed,
        .limits = {.max_downtime_ns = target_ns, .max_rounds = 30},
        .learnt = earlier,
        .horizon_ns = HORIZON_NS,
    };

    learnt_costs(seed, earlier, STATE_NS, TRIPS * l->round_trip_ns, &sc.truth, &sc.costs);
    return sc;
}

static void name_trace(enum workload w, double ratio, char out[static 48])
{
    if (w == WORK_IDLE)
        snprintf(out, 48, "%s", workload_name(w));
    else
        snprintf(out, 48, "%s x%g", workload_name(w), ratio);
}

static void print_run(
    const char *trace, const struct scenario *sc, enum policy p, const struct sim_result *r)
{
    json_t *points = json_array(), *words = json_array();

    for (unsigned i = 0; i < r->point_count; i++)
        json_array_append_new(points, json_pack("[f, I]", (double)r->points[i].at_ns / 1e9,
                                          (json_int_t)r->points[i].left_pages));
    for (unsigned i = 0; i < r->word_count; i++)
        json_array_append_new(words, json_string(r->words[i]));

    json_t *o = json_pack("{s:{s:s, s:I}, s:s, s:s, s:f, s:f, s:I, s:f, s:I, s:s, s:b, s:o, s:o, "
                          "s:b, s:I, s:I}",
        "trace", "name", trace, "seed", (json_int_t)sc->seed, "link", sc->link.name, "policy",
        policy_name(p), "target_ms", (double)sc->limits.max_downtime_ns / 1e6, "downtime_ms",
        (double)r->downtime_ns / 1e6, "bytes", (json_int_t)r->bytes, "seconds",
        (double)r->total_ns / 1e9, "rounds", (json_int_t)r->rounds, "outcome", r->outcome, "real",
        0, "points", points, "words", words, "stalled", r->stalled, "rounds_after_stall",
        (json_int_t)r->rounds_after_stall, "slowed_percent", (json_int_t)r->slowed_percent);

    json_object_set_new(o, "predicted_ms",
        r->predicted_ns < 0 ? json_null() : json_real((double)r->predicted_ns / 1e6));
    json_object_set_new(o, "learnt", json_integer(sc->learnt));
    json_object_set_new(o, "fixed_ms", json_real((double)r->fixed_ns / 1e6));
    json_object_set_new(o, "said",
        json_pack("{s:f, s:f, s:f}", "low_ms", (double)r->said.low_ns / 1e6, "high_ms",
            (double)r->said.high_ns / 1e6, "pages_ms",
            (double)(r->said.pages_ns + r->said.clean_ns) / 1e6));
    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
    putchar('\n');
    json_decref(o);
}

static int run(const char *name, const struct scenario *sc, enum policy p)
{
    struct sim_result *r = malloc(sizeof(*r));
    const int rc = r ? sim_run(sc, p, r) : -1;

    if (!rc)
        print_run(name, sc, p, r);
    free(r);
    return rc;
}

/* Every policy on one workload and link. */
static int run_cell(enum workload w, double ratio, const struct link *l, uint64_t seed)
{
    const uint32_t pages = guest_pages(l);
    struct trace t;
    char name[48];
    int rc = trace_make(&t, w, seed, pages, ratio * sim_link_pages_per_s(l), TRACE_NS);

    if (rc)
        return rc;
    name_trace(w, ratio, name);
    for (unsigned i = 0; i < LEARNT && !rc; i++) {
        const struct scenario sc = scenario_of(&t, l, pages, seed, TARGET_NS, learnt[i]);

        for (enum policy p = 0; p < (i ? 1 : POLICY_COUNT) && !rc; p++)
            rc = run(name, &sc, p);
    }
    free(t.pages);
    return rc;
}

static int run_all(unsigned shard, unsigned shards, uint64_t seed)
{
    unsigned cell = 0;

    for (enum workload w = 0; w < WORK_COUNT; w++)
        for (unsigned i = 0; i < RATIOS; i++)
            for (unsigned l = 0; l < GRID_LINKS; l++) {
                if (w == WORK_IDLE && i)
                    continue;
                if (cell++ % shards == shard && run_cell(w, ratios[i], &links[l], seed + cell))
                    return 1;
            }
    return 0;
}

static bool find_link(const char *name, const struct link **l)
{
    for (unsigned i = 0; i < LINKS; i++)
        if (!strcmp(links[i].name, name)) {
            *l = &links[i];
            return true;
        }
    return false;
}

static bool find_workload(const char *name, enum workload *w)
{
    for (*w = 0; *w < WORK_COUNT; (*w)++)
        if (!strcmp(workload_name(*w), name))
            return true;
    return false;
}

static bool find_policy(const char *name, enum policy *p)
{
    for (*p = 0; *p < POLICY_COUNT; (*p)++)
        if (!strcmp(policy_name(*p), name))
            return true;
    return false;
}

static int run_one(int argc, char **argv)
{
    const uint64_t seed = argc > 6 ? strtoull(argv[6], NULL, 10) : 1;
    const double target_ms = argc > 7 ? atof(argv[7]) : 300;
    const double ratio = atof(argv[3]);
    const struct link *l;
    enum workload w;
    enum policy p;
    struct trace t;
    char name[48];

    if (!find_workload(argv[2], &w) || !find_link(argv[4], &l) || !find_policy(argv[5], &p) ||
        ratio <= 0 ||
        trace_make(&t, w, seed, guest_pages(l), ratio * sim_link_pages_per_s(l), TRACE_NS))
        return 2;
    name_trace(w, ratio, name);

    const struct scenario sc = scenario_of(
        &t, l, guest_pages(l), seed, (int64_t)(target_ms * 1e6), learnt[0]);
    const int rc = run(name, &sc, p);

    free(t.pages);
    return rc ? 1 : 0;
}

/* The size of a guest of so many MiB; 0 if it is none that a trace is made for. */
static uint32_t pages_of(const char *mib)
{
    const unsigned long n = strtoul(mib, NULL, 10);

    return n && n <= 4096 && !(n & (n - 1)) ? (uint32_t)n << 8 : 0;
}

/* What a guest of that size replays. */
static int make_guest_trace(
    struct trace *t, enum workload w, uint64_t seed, uint32_t pages, double pages_per_s)
{
    const int rc = trace_make(t, w, seed, pages, pages_per_s, TRACE_NS);

    if (!rc && t->length > GUEST_STEPS)
        t->length = GUEST_STEPS;
    return rc;
}

static int run_beside(char **argv)
{
    const double ratio = atof(argv[3]);
    const uint64_t seed = strtoull(argv[6], NULL, 10);
    const uint32_t pages = pages_of(argv[7]), own_pages = (uint32_t)atoi(argv[8]) << 8;
    const struct link *l;
    enum workload w;
    enum policy p;
    struct trace t;
    char name[48];

    if (!find_workload(argv[2], &w) || !find_link(argv[4], &l) || !find_policy(argv[5], &p) ||
        ratio <= 0 || !pages ||
        make_guest_trace(&t, w, seed, pages, ratio * sim_link_pages_per_s(l)))
        return 2;
    name_trace(w, ratio, name);

    struct scenario sc = scenario_of(&t, l, pages + own_pages, seed, TARGET_NS, learnt[0]);

    sc.burst_ns = BUCKET_BURST_NS;
    sc.from_step = strtoull(argv[9], NULL, 10);
    sc.costs = (struct decide_costs){.suspend_ns = atoll(argv[10]), .receiver_ns = atoll(argv[11])};
    sc.measured = (struct decide_costs){
        .suspend_ns = atoll(argv[12]), .receiver_ns = atoll(argv[13])};

    const int rc = run(name, &sc, p);

    free(t.pages);
    return rc ? 1 : 0;
}

static int write_trace(char **argv)
{
    const uint32_t pages = pages_of(argv[6]);
    const double ratio = atof(argv[3]);
    const struct link *l;
    enum workload w;
    struct trace t;

    if (!find_workload(argv[2], &w) || !find_link(argv[4], &l) || ratio <= 0 || !pages ||
        make_guest_trace(
            &t, w, strtoull(argv[5], NULL, 10), pages, ratio * sim_link_pages_per_s(l)))
        return 2;
    printf("%.0f\n", 1e9 / t.step_ns);
    for (size_t i = 0; i < t.length; i++)
        if (t.pages[i] == TRACE_NO_WRITE)
            puts("-");
        else
            printf("%u\n", t.pages[i]);
    free(t.pages);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned shard = 0, shards = 1;

    if (argc >= 2 && !strcmp(argv[1], "all")) {
        if (argc > 2 && (sscanf(argv[2], "%u/%u", &shard, &shards) != 2 || shard >= shards))
            return 2;
        return run_all(shard, shards, argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
    }
    if (argc >= 6 && !strcmp(argv[1], "one"))
        return run_one(argc, argv);
    if (argc == 14 && !strcmp(argv[1], "beside"))
        return run_beside(argv);
    if (argc == 7 && !strcmp(argv[1], "trace"))
        return write_trace(argv);
    fprintf(stderr, "see the head of perf/converge/main.c\n");
    return 2;
}
