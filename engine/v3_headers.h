/* SPDX-License-Identifier: MIT */
/* What the plain stream of a guest begins with, whichever out writes it. */
#ifndef ENGINE_V3_HEADERS_H
#define ENGINE_V3_HEADERS_H

#include "base/err.h"
#include "transport/v3_stream.h"

struct guest;

/* The version of Xen, and the guest's type. */
int v3_headers_of(const struct guest *g, struct v3_headers *h, struct err *e);

#endif
