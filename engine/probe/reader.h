/* SPDX-License-Identifier: MIT */
/* Reading a guest's pages while it runs, without a receiver: what every probe opens. One thread. */
#ifndef ENGINE_PROBE_READER_H
#define ENGINE_PROBE_READER_H

#include "engine/batch.h"
#include "engine/guest/guest.h"

struct reader {
    struct xen xen;
    struct guest *guest;
    struct frame_notes notes;
    struct batch *batch;
};

/* reader_close() also after a failure. marks: of its page tables, as far as they are known. */
int reader_open(struct reader *r, uint32_t domid, const struct pte_marks *marks,
    const struct log *log, struct err *e);
void reader_close(struct reader *r);

/* Load count frames from first on, fewer at the guest's end; batch_unload() follows, also after a
 * failure. */
int reader_load(struct reader *r, uint64_t first_pfn, unsigned count, struct err *e);

#endif
