/* SPDX-License-Identifier: MIT */
#include "engine/xen/logdirty.h"

#include "base/bitmap.h"
#include "engine/xen/canary.h"
#include "engine/xen/hbuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct logdirty {
    struct dirty_source base;
    struct xen *x;
    uint32_t domid;
    bool pv;
    bool enabled;
    struct hbuf bits; /* what Xen fills; copied out, so that lanes read plain memory */

    /* What the next CLEAN or PEEK has to show. */
    struct canary canary; /* HVM containers */
    uint64_t *peeked;     /* PV: what the last PEEK showed */
    bool was_peeked;      /* since the last CLEAN */
};

int logdirty_explain(uint32_t domid, bool pv, int code, struct err *e)
{
    switch (code) {
    case EINVAL:
        return err_set(e, ERR_REFUSED, EBUSY,
            "log-dirty is already on for domain %u, or it has an assigned PCI device: another "
            "migration or save may be under way; \"xmigrate --recover\" clears what dead ones left",
            domid);
    case EOPNOTSUPP:
    case ENOSYS:
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "this Xen has no %s, so domain %u cannot be moved live: use --offline",
            pv ? "shadow paging, which PV guests need for it" : "log-dirty mode", domid);
    case ENOMEM:
        return err_set(e, ERR_REFUSED, ENOMEM,
            "Xen has no memory for the log-dirty map of domain %u: free some on this host, or use "
            "--offline",
            domid);
    default:
        return err_sys(e, ERR_LOCAL, code, "cannot turn log-dirty on for domain %u", domid);
    }
}

static int control(struct logdirty *l, unsigned op)
{
    return xc_shadow_control(l->x->xch, l->domid, op, NULL, 0) < 0 ? errno : 0;
}

static int logdirty_enable(struct dirty_source *base, struct err *e)
{
    struct logdirty *l = (struct logdirty *)base;
    const int code = control(l, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);

    if (code)
        return logdirty_explain(l->domid, l->pv, code, e);
    l->enabled = true;
    if (l->pv)
        return 0;

    const int rc = canary_place(&l->canary, e);

    return rc ? rc : canary_mark(&l->canary, e);
}

/* Into l->bits. */
static int fetch(struct logdirty *l, unsigned op, unsigned mode, struct err *e)
{
    const uint64_t frames = l->base.frames;
    xc_shadow_op_stats_t stats;
    const long long got = xc_logdirty_control(
        l->x->xch, l->domid, op, &l->bits.desc, frames, mode, &stats);

    if (got < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot read the log-dirty map of domain %u", l->domid);
    if ((uint64_t)got != frames)
        return err_set(e, ERR_LOCAL, EIO,
            "Xen returned a log-dirty map of %lld frames for domain %u, which has %llu", got,
            l->domid, (unsigned long long)frames);
    return 0;
}

static bool shows_peeked(const struct logdirty *l, const uint64_t *bitmap)
{
    for (size_t i = 0; l->was_peeked && i < bitmap_words(l->base.frames); i++)
        if (l->peeked[i] & ~bitmap[i])
            return false;
    return true;
}

/* What has to be in the log can only be missing if somebody else has cleared it. */
static int check_whole(struct logdirty *l, const uint64_t *bitmap, struct err *e)
{
    bool whole = shows_peeked(l, bitmap);
    int rc = 0;

    if (!l->pv)
        rc = canary_look(&l->canary, bitmap, &whole, e);
    if (rc || whole)
        return rc;
    return err_set(e, ERR_LOCAL, ESTALE,
        "somebody switched log-dirty off for domain %u, or cleared it, while it was being moved "
        "(another save?)",
        l->domid);
}

static int logdirty_collect(struct dirty_source *base, uint64_t *bitmap, bool final, struct err *e)
{
    struct logdirty *l = (struct logdirty *)base;
    int rc = fetch(l, XEN_DOMCTL_SHADOW_OP_CLEAN, final ? XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL : 0, e);

    /* At once: only what happens between the two goes unnoticed. */
    if (!rc && !final && !l->pv)
        rc = canary_mark(&l->canary, e);
    if (!rc)
        rc = check_whole(l, l->bits.mem, e);
    l->was_peeked = false;
    if (!rc)
        memcpy(bitmap, l->bits.mem, bitmap_words(base->frames) * sizeof(uint64_t));
    return rc;
}

static int logdirty_peek(struct dirty_source *base, uint64_t *bitmap, struct err *e)
{
    struct logdirty *l = (struct logdirty *)base;
    const uint64_t *bits = l->bits.mem;
    int rc = fetch(l, XEN_DOMCTL_SHADOW_OP_PEEK, 0, e);

    if (!rc)
        rc = check_whole(l, bits, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < bitmap_words(base->frames); i++)
        __atomic_store_n(&bitmap[i], bits[i], __ATOMIC_RELAXED);
    if (!l->pv)
        return 0;
    memcpy(l->peeked, bits, bitmap_words(base->frames) * sizeof(uint64_t));
    l->was_peeked = true;
    return 0;
}

static int logdirty_check(struct dirty_source *base, struct err *e)
{
    struct logdirty *l = (struct logdirty *)base;
    /* Xen refuses to switch on what is on. */
    const int code = control(l, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);

    if (code == EINVAL)
        return 0;
    if (code)
        return err_sys(e, ERR_LOCAL, code,
            "cannot tell whether log-dirty is still on for domain %u", l->domid);
    return err_set(e, ERR_LOCAL, ESTALE,
        "somebody switched log-dirty off for domain %u while it was being moved (another save?)",
        l->domid);
}

static int logdirty_disable(struct dirty_source *base, struct err *e)
{
    struct logdirty *l = (struct logdirty *)base;

    if (!l->enabled)
        return 0;
    l->enabled = false;

    const int code = control(l, XEN_DOMCTL_SHADOW_OP_OFF);

    return code ? err_sys(e, ERR_LOCAL, code, "cannot turn log-dirty off for domain %u", l->domid)
                : 0;
}

static void logdirty_close(struct dirty_source *base)
{
    struct logdirty *l = (struct logdirty *)base;

    canary_close(&l->canary);
    hbuf_free(l->x, &l->bits);
    free(l->peeked);
    free(l);
}

static const struct dirty_ops logdirty_ops = {
    .enable = logdirty_enable,
    .collect = logdirty_collect,
    .peek = logdirty_peek,
    .check = logdirty_check,
    .disable = logdirty_disable,
    .close = logdirty_close,
};

int logdirty_open(struct xen *x, uint32_t domid, bool pv, uint64_t frames,
    struct dirty_source **log, struct err *e)
{
    struct logdirty *l = calloc(1, sizeof(*l));

    if (!l)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    l->base.ops = &logdirty_ops;
    l->base.frames = frames;
    l->x = x;
    l->domid = domid;
    l->pv = pv;

    int rc = hbuf_alloc(x, &l->bits, bitmap_words(frames) * sizeof(uint64_t), e);

    if (!rc && !pv)
        rc = canary_open(&l->canary, x, domid, frames, e);
    if (!rc && pv && !(l->peeked = bitmap_alloc(frames)))
        rc = err_set(e, ERR_LOCAL, ENOMEM, "no memory for a bitmap of %llu frames",
            (unsigned long long)frames);
    if (rc) {
        logdirty_close(&l->base);
        return rc;
    }
    *log = &l->base;
    return 0;
}
