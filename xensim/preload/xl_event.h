/* SPDX-License-Identifier: MIT */
/* Events of a context: they queue on it until the program asks. */
#ifndef XENSIM_PRELOAD_XL_EVENT_H
#define XENSIM_PRELOAD_XL_EVENT_H

#include "xensim/preload/xl_context.h"

/* A copy of it. Caller holds xl->lock. */
void xl_event_queue(struct xl *xl, const libxl_event *event);

#endif
