/* SPDX-License-Identifier: MIT */
#include "xensim/preload/arena.h"
#include "xensim/preload/real.h"
#include "xensim/proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *arena;
static uint64_t *used; /* one bit a page */

void *arena_reserve(void)
{
    if (!used)
        used = malloc(ARENA_BYTES / PAGE / 8);
    arena = used ? real_map_nothing(NULL, ARENA_BYTES) : NULL;
    return arena;
}

int arena_attach(int fd)
{
    memset(used, 0, ARENA_BYTES / PAGE / 8);
    return real_map(arena, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0)
               ? 0
               : -ENOMEM;
}

void arena_unmap(void)
{
    real.munmap(arena, ARENA_BYTES);
    arena = NULL;
}

static bool page_used(uint64_t page)
{
    return used[page / 64] >> (page % 64) & 1;
}

static void mark(uint64_t first, uint64_t count, bool in_use)
{
    for (uint64_t p = first; p < first + count; p++)
        if (in_use)
            used[p / 64] |= 1ull << (p % 64);
        else
            used[p / 64] &= ~(1ull << (p % 64));
}

static uint64_t pages_for(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE;
}

/* First fit: hypercall buffers are few and mostly cached by libxencall. */
void *arena_alloc(size_t bytes)
{
    uint64_t want = pages_for(bytes), run = 0;

    for (uint64_t p = 0; want && p < ARENA_BYTES / PAGE; p++) {
        run = page_used(p) ? 0 : run + 1;
        if (run == want) {
            mark(p + 1 - want, want, true);
            return arena + (p + 1 - want) * PAGE;
        }
    }
    return MAP_FAILED;
}

void arena_free(void *p, size_t bytes)
{
    mark((uint64_t)((uint8_t *)p - arena) / PAGE, pages_for(bytes), false);
}

bool arena_contains(const void *p)
{
    return arena && (const uint8_t *)p >= arena && (const uint8_t *)p < arena + ARENA_BYTES;
}
