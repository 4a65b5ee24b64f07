/* SPDX-License-Identifier: MIT */
#include "engine/guest/p2m_list.h"

#include <errno.h>
#include <stdlib.h>

/* Of a small guest, whose holes may be many. */
enum { SPARE_RUNS = 1024, FIRST_RUNS = 64 };

void p2m_list_init(struct p2m_list *list, uint64_t max_pages)
{
    *list = (struct p2m_list){.max_pages = max_pages};
}

void p2m_list_free(struct p2m_list *list)
{
    free(list->runs);
    *list = (struct p2m_list){0};
}

static int grow(struct p2m_list *list, struct err *e)
{
    const size_t cap = list->cap_runs ? 2 * list->cap_runs : FIRST_RUNS;
    struct p2m_run *runs;

    /* Each page of the p2m that is not shared, and a run of a shared one behind it. */
    if (list->run_count > 2 * list->max_pages + SPARE_RUNS)
        return err_set(e, ERR_PEER, EPROTO,
            "X86_PV_P2M_FRAMES names more than %zu frames in turn, of a guest that may have %llu "
            "pages",
            list->run_count, (unsigned long long)list->max_pages);
    runs = realloc(list->runs, cap * sizeof(*runs));
    if (!runs)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for %zu runs of the p2m", cap);
    list->runs = runs;
    list->cap_runs = cap;
    return 0;
}

int p2m_list_add(struct p2m_list *list, const uint64_t *pfns, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        if (list->run_count && list->runs[list->run_count - 1].pfn == pfns[i]) {
            list->runs[list->run_count - 1].last = list->count++;
            continue;
        }

        const int rc = list->run_count == list->cap_runs ? grow(list, e) : 0;

        if (rc)
            return rc;
        list->runs[list->run_count++] = (struct p2m_run){pfns[i], list->count++};
    }
    return 0;
}
