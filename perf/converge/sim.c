/* SPDX-License-Identifier: MIT */
#include "perf/converge/sim.h"

#include "base/deadline.h"
#include "perf/converge/machine.h"
#include "perf/converge/ours.h"
#include "perf/converge/rivals.h"

#include <errno.h>
#include <stdlib.h>

#define CLEAN_NS          300000.0
#define CLEAN_NS_PER_PAGE 6.0 /* 1.5 ms a GiB */
#define PEEK_NS           150000.0
#define PEEK_NS_PER_PAGE  1.2
#define FINISH_TRIPS      2 /* the result, and GO with its answer */

const char *policy_name(enum policy p)
{
    static const char *const names[] = {"xmigrate", "xmigrate-throttle", "xen", "qemu",
        "qemu-autoconverge", "kubevirt", "clairvoyant"};

    return names[p];
}

double sim_link_pages_per_s(const struct link *l)
{
    return l->bits_per_s / 8 / WIRE_PAGE_BYTES;
}

/* What is drawn from the seed around what was told. */
static int64_t vary(uint64_t *rng, int64_t told_ns, double by)
{
    return (int64_t)((double)told_ns * (1 + by * (2 * trace_uniform(rng) - 1)));
}

static void draw_costs(struct sim *s)
{
    const struct scenario *sc = s->sc;
    const int64_t trips_ns = FINISH_TRIPS * sc->link.round_trip_ns;
    uint64_t rng = sc->seed ^ 0x5eedull;

    if (sc->measured.suspend_ns) {
        s->suspend_ns = sc->measured.suspend_ns;
        s->finish_ns = sc->measured.state_ns + sc->measured.receiver_ns;
        return;
    }
    s->suspend_ns = vary(&rng, sc->costs.suspend_ns, 0.4);
    s->finish_ns = vary(&rng, sc->costs.receiver_ns - trips_ns, 0.25) +
                   vary(&rng, sc->costs.state_ns, 0.3) + trips_ns;
}

int sim_run(const struct scenario *sc, enum policy p, struct sim_result *r)
{
    struct sim s = {.sc = sc,
        .r = r,
        .speed = 1,
        .step = sc->from_step,
        .guest_ns = (double)sc->from_step * sc->trace->step_ns};

    *r = (struct sim_result){.predicted_ns = -1};
    s.page = calloc(sc->pages, 1);
    if (!s.page)
        return -ENOMEM;
    s.clean_ns = (int64_t)(CLEAN_NS + CLEAN_NS_PER_PAGE * sc->pages);
    s.peek_ns = (int64_t)(PEEK_NS + PEEK_NS_PER_PAGE * sc->pages);
    draw_costs(&s);
    s.halve_ns = (int64_t)(sc->pages * 0.75 / sim_link_pages_per_s(&sc->link) * 0.5e9);
    if (p == POLICY_XMIGRATE)
        run_xmigrate(&s, ON_STALL_SUSPEND);
    else if (p == POLICY_THROTTLE)
        run_xmigrate(&s, ON_STALL_THROTTLE);
    else if (p == POLICY_XEN)
        run_xen(&s);
    else if (p == POLICY_CLAIRVOYANT)
        run_clairvoyant(&s);
    else
        run_qemu(&s, p);
    free(s.page);
    return 0;
}
