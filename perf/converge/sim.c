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

static void take_costs(struct sim *s)
{
    const struct decide_costs *c = s->sc->measured.suspend_ns ? &s->sc->measured : &s->sc->truth;

    s->suspend_ns = c->suspend_ns;
    s->finish_ns = c->state_ns + c->receiver_ns + c->network_ns;
    s->r->fixed_ns = s->suspend_ns + s->finish_ns;
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
    take_costs(&s);
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
