/* SPDX-License-Identifier: MIT */
#include "transport/compact/table.h"

#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

_Static_assert(sizeof(struct compact_page) == 24, "there is one for each of the guest's pages");

/* Half of the memory that there is. */
static uint64_t max_entered_groups(void)
{
    struct sysinfo s;

    return sysinfo(&s) ? UINT64_MAX
                       : (uint64_t)s.totalram * s.mem_unit / 2 / sizeof(struct compact_group);
}

static uint64_t regions_of(const struct compact_table *t)
{
    return t->extent_count / COMPACT_REGION_EXTENTS + 1;
}

int compact_table_init(struct compact_table *t, uint64_t frame_count, struct err *e)
{
    *t = (struct compact_table){
        .frame_count = frame_count,
        .extent_count = (frame_count + EXTENT_FRAMES - 1) / EXTENT_FRAMES,
        .max_entered_groups = max_entered_groups(),
    };
    /* Takes memory only where it is written. */
    t->groups = calloc(t->extent_count ?: 1, sizeof(*t->groups));
    t->regions = calloc(regions_of(t), sizeof(*t->regions));
    if (t->groups && t->regions)
        return 0;
    compact_table_destroy(t);
    return err_set(e, ERR_LOCAL, ENOMEM, "no memory for a table of pages");
}

static void put_group(struct compact_table *t, uint64_t extent, struct compact_group *g)
{
    t->groups[extent] = g;
    atomic_store_explicit(&t->regions[extent / COMPACT_REGION_EXTENTS], 1, memory_order_relaxed);
}

int compact_table_grow(struct compact_table *t, uint64_t frame_count, struct err *e)
{
    struct compact_table more;

    if (frame_count <= t->frame_count)
        return 0;

    const int rc = compact_table_init(&more, frame_count, e);

    if (rc)
        return rc;
    more.entered_groups = t->entered_groups;
    /* Not all at once: that would write the whole of it. */
    for (uint64_t i = compact_next_group(t, 0); i < t->extent_count;
         i = compact_next_group(t, i + 1))
        put_group(&more, i, t->groups[i]);
    free(t->groups);
    free(t->regions);
    *t = more;
    return 0;
}

void compact_table_destroy(struct compact_table *t)
{
    for (uint64_t i = compact_next_group(t, 0); i < t->extent_count;
         i = compact_next_group(t, i + 1))
        free(t->groups[i]);
    free(t->groups);
    free(t->regions);
    *t = (struct compact_table){0};
}

struct compact_group *compact_group_make(struct compact_table *t, uint64_t extent)
{
    if (!t->groups[extent])
        put_group(t, extent, calloc(1, sizeof(struct compact_group)));
    return t->groups[extent];
}

static bool region_is_used(const struct compact_table *t, uint64_t extent)
{
    return atomic_load_explicit(&t->regions[extent / COMPACT_REGION_EXTENTS], memory_order_relaxed);
}

uint64_t compact_next_group(const struct compact_table *t, uint64_t extent)
{
    if (!t->groups || !t->regions)
        return t->extent_count;
    while (extent < t->extent_count && !t->groups[extent])
        extent = region_is_used(t, extent)
                     ? extent + 1
                     : (extent / COMPACT_REGION_EXTENTS + 1) * (uint64_t)COMPACT_REGION_EXTENTS;
    return extent < t->extent_count ? extent : t->extent_count;
}

int compact_list_groups(
    const struct compact_table *t, uint32_t **extents, uint64_t *count, struct err *e)
{
    uint64_t n = 0;

    *count = 0;
    for (uint64_t x = compact_next_group(t, 0); x < t->extent_count;
         x = compact_next_group(t, x + 1))
        n++;
    *extents = calloc(n ?: 1, sizeof(**extents));
    if (!*extents)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for a list of extents");
    for (uint64_t x = compact_next_group(t, 0); x < t->extent_count;
         x = compact_next_group(t, x + 1))
        (*extents)[(*count)++] = (uint32_t)x;
    return 0;
}

bool compact_page_has_memory(const struct compact_page *p)
{
    return p->kind != COMPACT_UNKNOWN && (p->kind != COMPACT_BARE || p->type != V3_PAGE_XTAB);
}

bool compact_page_equal(const struct compact_page *a, const struct compact_page *b)
{
    if (!compact_page_has_memory(a) || !compact_page_has_memory(b))
        return compact_page_has_memory(a) == compact_page_has_memory(b);
    return a->kind == b->kind && a->type == b->type &&
           (a->kind != COMPACT_CONTENTS || !memcmp(a->hash, b->hash, sizeof(a->hash)));
}

unsigned compact_entries_of(
    const struct compact_table *t, uint64_t extent, uint64_t entries[static EXTENT_FRAMES])
{
    const struct compact_group *g = compact_group(t, extent);
    unsigned count = 0;

    for (unsigned i = 0; g && i < EXTENT_FRAMES; i++)
        if (compact_page_has_memory(&g->pages[i]))
            entries[count++] = v3_entry_of(g->pages[i].type, extent * EXTENT_FRAMES + i);
    return count;
}
