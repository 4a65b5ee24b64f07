/* SPDX-License-Identifier: MIT */
/*
 * Building a guest at the destination, as the story does it: open, states in the order of the
 * stream (libxc v3 bodies, whatever carried them), pages between them, complete.
 */
#ifndef ENGINE_GUEST_LOAD_H
#define ENGINE_GUEST_LOAD_H

#include "engine/guest/loader.h"

/* Reads what domain it is, which must agree with the stream's guest type (ERR_PEER otherwise).
 * frame_limit: every PFN of the stream is below it (0: not known yet). load_close() follows in any
 * case. p outlives the loader. */
int load_open(struct loader *l, const struct loader_params *p, uint32_t v3_guest_type,
    uint64_t frame_limit, struct err *e);
void load_close(struct loader *l);

/* One state record of either guest type, in order. Not for page data and stream control. */
int load_state(struct loader *l, const struct in_event *state, struct err *e);

/* At STATIC_DATA_END, once: hand the policies to Xen. *missing: CPU_POLICY_NO_..., those that did
 * not come. */
int load_static_done(struct loader *l, unsigned *missing, struct err *e);

/* Before pages, and at the end: is everything there that is needed? ERR_PEER if not. */
int load_check_ready(struct loader *l, struct err *e);

/* While pages come: give the domain its rings and whatever else it needs before libxl introduces it
 * and connects its devices. ERR_PEER when it was not said where they are, or the second time. */
int load_prepare(struct loader *l, struct guest_rings *rings, struct err *e);

/* After the last page, with nothing mapped: the state that had to wait. */
int load_complete(struct loader *l, struct guest_rings *rings, struct err *e);

#endif
