/* SPDX-License-Identifier: MIT */
#include "xensim/preload/mapping.h"
#include "xensim/preload/process.h"
#include "xensim/preload/real.h"
#include "xensim/preload/region.h"

#include <errno.h>
#include <stdlib.h>

#define HUGE_BYTES (2ull << 20)

/* Address space that begins at a multiple of 2 MiB. */
static uint8_t *map_nothing_aligned(size_t bytes)
{
    uint8_t *raw = real_map_nothing(NULL, bytes);

    /* Later versions of Linux align by themselves; otherwise it takes two more calls. */
    if (!raw || (uintptr_t)raw % HUGE_BYTES == 0)
        return raw;
    real.munmap(raw, bytes);
    raw = real_map_nothing(NULL, bytes + HUGE_BYTES);
    if (!raw)
        return NULL;

    uint8_t *start = (uint8_t *)(((uintptr_t)raw + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));

    if (start > raw)
        real.munmap(raw, (size_t)(start - raw));
    if (start < raw + HUGE_BYTES)
        real.munmap(start + bytes, (size_t)(raw + HUGE_BYTES - start));
    return start;
}

void *mapping_reserve(void *hint, size_t bytes, int prot)
{
    struct region r = {.bytes = bytes, .left = bytes, .prot = prot};
    const bool align = bytes >= HUGE_BYTES && !hint;
    uint8_t *start = align ? map_nothing_aligned(bytes) : real_map_nothing(hint, bytes);
    int rc;

    if (!start)
        return MAP_FAILED;
    r.start = (uintptr_t)start;
    pthread_mutex_lock(&process.lock);
    rc = region_add(&r);
    pthread_mutex_unlock(&process.lock);
    if (!rc)
        return start;
    real.munmap(start, bytes);
    errno = -rc;
    return MAP_FAILED;
}

static void let_go(const struct region *gone)
{
    for (uint32_t s = 0; s < gone->nr_slots; s++)
        atomic_store(&process.releases[gone->slots[s]], 1);
    free(gone->slots);
}

/* The region leaves the table before its addresses are free: another thread's next mapping may get
 * the same ones. */
int mapping_release(void *addr, size_t bytes)
{
    struct region gone = {0};
    int rc, saved;

    pthread_mutex_lock(&process.lock);

    struct region *r = region_find((uintptr_t)addr);

    if (r) {
        r->left -= bytes < r->left ? bytes : r->left;
        if (!r->left)
            gone = region_take(r);
    }
    pthread_mutex_unlock(&process.lock);
    rc = real.munmap(addr, bytes);
    saved = errno;
    let_go(&gone);
    errno = saved;
    return rc;
}

/* Remember that the daemon holds this mapping for the region. */
static int keep_slot(uintptr_t address, uint32_t slot)
{
    struct region *r;
    uint32_t *slots = NULL;

    pthread_mutex_lock(&process.lock);
    r = region_find(address);
    if (r)
        slots = realloc(r->slots, (r->nr_slots + 1) * sizeof(*slots));
    if (slots) {
        r->slots = slots;
        r->slots[r->nr_slots++] = slot;
    }
    pthread_mutex_unlock(&process.lock);
    return slots ? 0 : -ENOMEM;
}

static int map_frames(uintptr_t address, const uint64_t *mfns, size_t count, int prot)
{
    for (size_t i = 0; i < count;) {
        size_t run = 1;

        while (mfns[i] && i + run < count && mfns[i + run] == mfns[i] + run)
            run++;
        if (mfns[i] &&
            !real_map((void *)(address + i * PAGE), run * PAGE, prot,
                MAP_SHARED | MAP_FIXED | MAP_POPULATE, process.machine_fd, mfns[i] * PAGE))
            return -errno;
        i += run;
    }
    return 0;
}

int mapping_keep(uintptr_t address, uint32_t slot, const uint64_t *mfns, size_t count, int prot)
{
    int rc = keep_slot(address, slot);

    if (rc) {
        atomic_store(&process.releases[slot], 1);
        return rc;
    }
    return map_frames(address, mfns, count, prot);
}

int mapping_prot(uintptr_t address, size_t bytes, int *prot)
{
    struct region *r;
    int rc = -EINVAL;

    pthread_mutex_lock(&process.lock);
    r = region_find(address);
    if (r && address + bytes <= r->start + r->bytes) {
        *prot = r->prot;
        rc = 0;
    }
    pthread_mutex_unlock(&process.lock);
    return rc;
}
