/* SPDX-License-Identifier: MIT */
#include "engine/out/out.h"

#include "base/bitmap.h"
#include "transport/sent_pages.h"

#define UNSENT_LIMIT_NS (2 * NS_PER_S)
#define UNSENT_POLL_NS  NS_PER_MS

static bool takes_prime(struct round_prime *prime, uint64_t pfn)
{
    if (!prime || !prime->left || sent_pages_may_have(prime->sent, pfn))
        return false;
    prime->left--;
    return true;
}

unsigned round_job_filter(
    const struct round_job *job, struct round_prime *prime, uint64_t *pfns, unsigned count)
{
    unsigned left = 0;

    if (!job->skip)
        return count;
    for (unsigned i = 0; i < count; i++)
        if (!bitmap_test_shared(job->skip, pfns[i]) || takes_prime(prime, pfns[i]))
            pfns[left++] = pfns[i];
    return left;
}

void out_await_sent(const struct out *out, const struct cancel *cancel)
{
    const int64_t deadline_ns = deadline_in(UNSENT_LIMIT_NS);

    while (out->ops->unsent_bytes && out->ops->unsent_bytes(out) && !deadline_passed(deadline_ns) &&
           !cancel_is_fired(cancel))
        sleep_until_ns(deadline_in(UNSENT_POLL_NS));
}
