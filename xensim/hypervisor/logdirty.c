/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/logdirty.h"
#include "xensim/hypervisor/machine.h"
#include "xensim/hypervisor/sparse.h"

#include <errno.h>
#include <string.h>

#define BITMAP_BYTES (MAX_PFNS / 8)

int logdirty_init(struct logdirty *l)
{
    l->bitmap = sparse_map(BITMAP_BYTES);
    return l->bitmap ? 0 : -ENOMEM;
}

void logdirty_free(struct logdirty *l)
{
    if (l->bitmap)
        munmap(l->bitmap, BITMAP_BYTES);
    l->bitmap = NULL;
}

static void reset_counts(struct logdirty *l)
{
    atomic_store(&l->dirty_count, 0);
    l->fault_count = 0;
}

void logdirty_enable(struct logdirty *l)
{
    atomic_store(&l->enabled, true);
}

void logdirty_disable(struct logdirty *l)
{
    if (!atomic_load(&l->enabled))
        return;
    atomic_store(&l->enabled, false);
    madvise(l->bitmap, BITMAP_BYTES, MADV_DONTNEED);
    reset_counts(l);
}

void logdirty_mark_enabled(struct logdirty *l, uint64_t pfn)
{
    if (pfn >= MAX_PFNS)
        return;

    uint64_t bit = 1ull << (pfn % 64);

    if (!(__atomic_fetch_or(&l->bitmap[pfn / 64], bit, __ATOMIC_RELAXED) & bit))
        atomic_fetch_add_explicit(&l->dirty_count, 1, memory_order_relaxed);
}

/* Xen's bitmap is a tree whose missing leaves read as zero. Ours is sparse memory: clearing only
 * words that are set leaves alone what was never touched. */
void logdirty_read(struct logdirty *l, uint8_t *out, uint64_t pages, bool clean)
{
    uint64_t words = (pages + 63) / 64;
    uint64_t bytes = (pages + 7) / 8;

    if (!atomic_load(&l->enabled)) {
        if (out)
            memset(out, 0, bytes);
        return;
    }
    if (out)
        memcpy(out, l->bitmap, bytes < BITMAP_BYTES ? bytes : BITMAP_BYTES);
    if (out && bytes > BITMAP_BYTES)
        memset(out + BITMAP_BYTES, 0, bytes - BITMAP_BYTES);
    if (!clean)
        return;
    for (uint64_t w = 0; w < words && w < MAX_PFNS / 64; w++)
        if (l->bitmap[w])
            l->bitmap[w] = 0;
    reset_counts(l);
}
