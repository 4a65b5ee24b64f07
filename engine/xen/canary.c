/* SPDX-License-Identifier: MIT */
#include "engine/xen/canary.h"

#include "base/bitmap.h"
#include "engine/xen/foreign.h"

#include <errno.h>
#include <xen/hvm/params.h>

int canary_open(struct canary *c, struct xen *x, uint32_t domid, uint64_t frames, struct err *e)
{
    *c = (struct canary){.x = x, .domid = domid, .frames = frames, .frame = CANARY_NONE};

    const int rc = hbuf_alloc(x, &c->types, FRAME_TYPES_BYTES, e);

    if (rc)
        return rc;
    c->dm = xendevicemodel_open(x->logger, 0);
    if (c->dm)
        return 0;

    const int code = errno;

    hbuf_free(x, &c->types);
    return err_sys(e, ERR_LOCAL, code, "cannot reach Xen as the device model of domain %u", domid);
}

void canary_close(struct canary *c)
{
    if (!c->dm)
        return;
    xendevicemodel_close(c->dm);
    hbuf_free(c->x, &c->types);
    c->dm = NULL;
}

/* A frame without memory is not marked. */
static int has_memory(struct canary *c, uint64_t frame, bool *has, struct err *e)
{
    uint8_t type;
    const int rc = frame_types_read(c->x, c->domid, &c->types, &frame, 1, &type, e);

    *has = !rc && type != XEN_DOMCTL_PFINFO_XTAB >> XEN_DOMCTL_PFINFO_LTAB_SHIFT;
    return rc;
}

int canary_place(struct canary *c, struct err *e)
{
    /* The quietest first: nobody writes to that page table, and to a ring now and then. */
    static const struct {
        uint32_t param;
        unsigned shift;
    } places[] = {
        {HVM_PARAM_IDENT_PT, XC_PAGE_SHIFT}, {HVM_PARAM_STORE_PFN, 0}, {HVM_PARAM_CONSOLE_PFN, 0}};

    c->frame = CANARY_NONE;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint64_t value;
        bool has = false;

        if (xc_hvm_param_get(c->x->xch, c->domid, places[i].param, &value) || !value ||
            value >> places[i].shift >= c->frames)
            continue;

        const int rc = has_memory(c, value >> places[i].shift, &has, e);

        if (rc)
            return rc;
        if (has) {
            c->frame = value >> places[i].shift;
            return 0;
        }
    }
    return 0;
}

int canary_mark(struct canary *c, struct err *e)
{
    if (c->frame != CANARY_NONE && xendevicemodel_modified_memory(c->dm, c->domid, c->frame, 1))
        return err_sys(e, ERR_LOCAL, errno, "cannot mark a frame of domain %u as dirty", c->domid);
    return 0;
}

int canary_look(struct canary *c, const uint64_t *bitmap, bool *seen, struct err *e)
{
    bool has;

    *seen = c->frame == CANARY_NONE || bitmap_test(bitmap, c->frame);
    if (*seen)
        return 0;

    int rc = has_memory(c, c->frame, &has, e);

    if (rc || has)
        return rc;
    *seen = true;
    rc = canary_place(c, e);
    return rc ? rc : canary_mark(c, e);
}
