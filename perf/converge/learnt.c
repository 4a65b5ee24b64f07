/* SPDX-License-Identifier: MIT */
#include "perf/converge/learnt.h"

#include "base/deadline.h"
#include "cmd/xmigrate/expect.h"
#include "cmd/xmigrate/history.h"
#include "perf/converge/trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define SUSPEND_LEAST_NS (5.0 * NS_PER_MS)
#define SUSPEND_MOST_NS  (2.0 * NS_PER_S)
#define FINISH_LEAST_NS  (5.0 * NS_PER_MS)
#define FINISH_MOST_NS   (5.0 * NS_PER_S)
#define VARIES_BY        0.25 /* the deviation of its logarithm */

enum { MOST_EARLIER = 16, LINE_BYTES = 40 };

/* Each decade is as likely as the others. */
static double draw_usual(uint64_t *rng, double least_ns, double most_ns)
{
    return least_ns * pow(most_ns / least_ns, trace_uniform(rng));
}

static int64_t draw_one(uint64_t *rng, double usual_ns)
{
    double sum = 0;

    for (unsigned i = 0; i < 12; i++) /* nearly a normal deviate */
        sum += trace_uniform(rng);
    return (int64_t)(usual_ns * exp(VARIES_BY * (sum - 6)));
}

/* As history.c writes it. */
static void look_back(uint64_t *rng, double usual_ns, unsigned earlier, struct likely *l)
{
    static const struct history_key key = {"guest", "kind"};
    char text[MOST_EARLIER * LINE_BYTES];
    size_t len = 0;

    for (unsigned i = 0; i < earlier && i < MOST_EARLIER; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s %" PRId64 "\n", key.who,
            key.kind, draw_one(rng, usual_ns));
    history_from_text(text, len, &key, l);
}

void learnt_costs(uint64_t seed, unsigned earlier, int64_t state_ns, int64_t network_ns,
    struct decide_costs *truth, struct decide_costs *told)
{
    static const struct xl_devices none;
    const struct expect_guest guest = {.type = "pvh", .devices = &none};
    uint64_t rng = seed ^ 0x5eedull;
    const double suspend_ns = draw_usual(&rng, SUSPEND_LEAST_NS, SUSPEND_MOST_NS);
    const double finish_ns = draw_usual(&rng, FINISH_LEAST_NS, FINISH_MOST_NS);
    struct likely suspend, finish;

    truth->suspend_ns = draw_one(&rng, suspend_ns);
    truth->receiver_ns = draw_one(&rng, finish_ns);
    truth->state_ns = state_ns;
    truth->network_ns = network_ns;
    expect_first(&guest, &suspend, &finish);
    look_back(&rng, suspend_ns, earlier, &suspend);
    look_back(&rng, finish_ns, earlier, &finish);
    *told = decide_costs_of(&suspend, state_ns, &finish, network_ns);
}
