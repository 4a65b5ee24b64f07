/* SPDX-License-Identifier: MIT */
#include "engine/probe/look.h"

#include "base/deadline.h"
#include "engine/probe/reader.h"

/* A frame may change hands just now: what is stuck is looked at again, so often and so much later.
 */
enum { TRIES = 3 };
#define AGAIN_NS (50 * NS_PER_MS)

static int look_at_extent(struct reader *r, uint64_t pfn, struct look *l, struct err *e)
{
    struct batch *b = r->batch;
    int rc = 0;

    for (int i = 0; i < TRIES && !rc; i++) {
        if (i)
            sleep_until_ns(deadline_in(AGAIN_NS));
        rc = reader_load(r, pfn, EXTENT_FRAMES, e);
        batch_unload(b);
        if (!b->stuck_pages)
            return rc;
    }
    if (!l->stuck_pages)
        l->fault = b->fault;
    l->stuck_pages += b->stuck_pages;
    return rc;
}

int look_at_guest(uint32_t domid, const struct pte_marks *marks, int64_t limit_ns,
    const struct log *log, struct look *l, struct err *e)
{
    const int64_t until_ns = deadline_in(limit_ns);
    struct reader r;
    int rc = reader_open(&r, domid, marks, log, e);

    *l = (struct look){0};
    if (!rc) {
        l->p2m_layout = r.guest->p2m_layout;
        l->all = true;
    }
    /* Only a PV guest's page tables name frames of the host's. */
    for (uint64_t pfn = 0; !rc && l->p2m_layout && pfn < r.guest->frames; pfn += EXTENT_FRAMES) {
        if (deadline_passed(until_ns)) {
            l->all = false;
            break;
        }
        rc = look_at_extent(&r, pfn, l, e);
    }
    reader_close(&r);
    return rc;
}
