/* SPDX-License-Identifier: MIT */
#include "engine/guest/pv_state.h"

#include "transport/v3.h"

#include <errno.h>

int pv_find_frame(const struct loader *l, const char *what, uint64_t pfn, unsigned type,
    uint64_t *mfn, struct err *e)
{
    const struct frames *f = &l->frames;

    if (pfn >= f->frame_count || !frames_is_populated(f, pfn))
        return err_set(e, ERR_PEER, EPROTO, "%s is at frame %#llx, which the guest does not have",
            what, (unsigned long long)pfn);

    const unsigned here = *frames_type(f, pfn);

    if ((here & ~(unsigned)V3_PAGE_PINNED) != type)
        return err_set(e, ERR_PEER, EPROTO,
            "%s is at frame %#llx, which is of type %u instead of %u", what,
            (unsigned long long)pfn, here, type);
    *mfn = frames_gfn(f, pfn);
    return 0;
}
