/* SPDX-License-Identifier: MIT */
#include "xensim/preload/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REGIONS = 16384 };

static struct region *regions;
static size_t nr_regions;

int regions_init(void)
{
    if (!regions)
        regions = malloc(MAX_REGIONS * sizeof(*regions));
    return regions ? 0 : -ENOMEM;
}

void regions_forget(void)
{
    nr_regions = 0;
}

/* The index of the first region that ends after the address. */
static size_t first_after(uintptr_t address)
{
    size_t low = 0, high = nr_regions;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (regions[mid].start + regions[mid].bytes <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct region *region_find(uintptr_t address)
{
    size_t i = first_after(address);

    return i < nr_regions && regions[i].start <= address ? &regions[i] : NULL;
}

int region_add(const struct region *r)
{
    size_t i = first_after(r->start);

    if (nr_regions == MAX_REGIONS)
        return -ENOMEM;
    memmove(&regions[i + 1], &regions[i], (nr_regions - i) * sizeof(regions[0]));
    regions[i] = *r;
    nr_regions++;
    return 0;
}

struct region region_take(struct region *r)
{
    const struct region gone = *r;
    size_t i = (size_t)(r - regions);

    memmove(r, r + 1, (--nr_regions - i) * sizeof(*r));
    return gone;
}
