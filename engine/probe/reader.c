/* SPDX-License-Identifier: MIT */
#include "engine/probe/reader.h"

#include "engine/guest/save.h"

int reader_open(struct reader *r, uint32_t domid, const struct pte_marks *marks,
    const struct log *log, struct err *e)
{
    *r = (struct reader){0};

    int rc = xen_open(&r->xen, log, e);

    if (!rc)
        rc = guest_open(&r->xen, domid, marks, &r->guest, e);
    if (!rc)
        rc = frame_notes_init(&r->notes, r->guest->frames, e);
    return rc ? rc : batch_create(&r->xen, r->guest, &r->notes, &r->batch, e);
}

void reader_close(struct reader *r)
{
    batch_destroy(r->batch);
    frame_notes_destroy(&r->notes);
    if (r->guest)
        r->guest->ops->close(r->guest);
    xen_close(&r->xen);
}

int reader_load(struct reader *r, uint64_t first_pfn, unsigned count, struct err *e)
{
    uint64_t pfns[BATCH_PAGES];
    unsigned n = 0;

    for (; n < count && first_pfn + n < r->guest->frames; n++)
        pfns[n] = first_pfn + n;
    return batch_load(r->batch, pfns, n, false, e);
}
