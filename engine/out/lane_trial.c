/* SPDX-License-Identifier: MIT */
#include "engine/out/lane_trial.h"

#include "base/deadline.h"

/* Then the double of it, and so on. */
#define FIRST_PAUSE_NS (16 * NS_PER_MS)

struct lane_trial lane_trial_begin(void)
{
    return (struct lane_trial){now_ns() + FIRST_PAUSE_NS, FIRST_PAUSE_NS};
}

static void look_again(void *arg, uint64_t pfn, const void *page)
{
    page_encoder_look_again(arg, pfn, page);
}

int lane_trial_look(struct lane_trial *t, struct page_encoder *enc, struct batch *b, struct err *e)
{
    uint64_t pfns[PAGES_TRIAL];
    unsigned count;

    if (now_ns() < t->due_ns)
        return 0;
    count = page_encoder_trial(enc, pfns);
    if (!count)
        return 0;

    const int rc = batch_look(b, pfns, count, look_again, enc, e);

    t->pause_ns *= 2;
    t->due_ns = now_ns() + t->pause_ns;
    return rc;
}
