/* SPDX-License-Identifier: MIT */
#include "engine/v3_headers.h"

#include "engine/guest/guest.h"
#include "engine/xen/xen.h"

int v3_headers_of(const struct guest *g, struct v3_headers *h, struct err *e)
{
    *h = (struct v3_headers){.version = 3, .guest_type = g->v3_type};
    return xen_version_read(g->xen, &h->xen_major, &h->xen_minor, e);
}
