/* SPDX-License-Identifier: MIT */
#include "xensim/guest/kernel.h"

uint64_t guest_pfn(const struct guest_kernel *k, uint64_t index)
{
    for (unsigned i = 0; i < GUEST_MAX_RANGES; i++) {
        if (index < k->ranges[i].count)
            return k->ranges[i].first_pfn + index;
        index -= k->ranges[i].count;
    }
    return ~0ull;
}

struct guest_region guest_slice(const struct guest_kernel *k, unsigned cpu)
{
    uint64_t size = k->data.count / k->nr_vcpus;

    return (struct guest_region){k->data.first + cpu * size, size};
}

struct guest_region guest_stable_slice(const struct guest_kernel *k, unsigned cpu)
{
    struct guest_region s = guest_slice(k, cpu);

    s.count -= s.count / 4;
    return s;
}

uint64_t guest_random(struct guest_kernel *k, unsigned cpu)
{
    uint64_t *x = &k->cpus[cpu].rng;

    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

uint64_t guest_sum(const struct guest_kernel *k)
{
    uint64_t sum = k->initial_sum;

    for (unsigned i = 0; i < k->nr_vcpus; i++)
        sum += __atomic_load_n(&k->cpus[i].writes, __ATOMIC_RELAXED);
    return sum;
}

void guest_vcpu_marks(uint64_t seed, unsigned cpu, struct guest_vcpu_marks *marks)
{
    uint64_t x = (seed ^ 0x9E3779B97F4A7C15ull) * (2 * cpu + 3);

    for (unsigned i = 0; i < sizeof(marks->area) / 8; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        marks->area[i] = x;
    }
    marks->word = (uint32_t)(x >> 32) | 1;
}
