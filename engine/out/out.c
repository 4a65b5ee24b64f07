/* SPDX-License-Identifier: MIT */
#include "engine/out/out.h"

#include "base/bitmap.h"

unsigned round_job_filter(const struct round_job *job, uint64_t *pfns, unsigned count)
{
    unsigned left = 0;

    if (!job->skip)
        return count;
    for (unsigned i = 0; i < count; i++)
        if (!bitmap_test_shared(job->skip, pfns[i]))
            pfns[left++] = pfns[i];
    return left;
}
