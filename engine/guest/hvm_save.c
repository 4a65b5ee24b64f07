/*
 * HVM containers (PVH among them) at the source: frames are the guest's own numbers, Xen
 * translates them, and its page tables hold nothing of the host.
 */
#include "engine/guest/guest.h"
#include "engine/out/out.h"
#include "engine/xen/hvm.h"

#include <errno.h>
#include <stdlib.h>

static int hvm_send_static(struct guest *g, struct page_sink *sink, struct err *e)
{
    return send_cpu_policy(g, sink, e);
}

static int hvm_send_memory_head(struct guest *g, struct page_sink *sink, struct err *e)
{
    (void)g, (void)sink, (void)e;
    return 0;
}

static int hvm_check(struct guest *g, struct err *e)
{
    (void)g, (void)e;
    return 0;
}

static uint64_t hvm_frame_of(const struct guest *g, uint64_t pfn)
{
    (void)g;
    return pfn;
}

static int hvm_canonicalise(const struct guest *g, unsigned level,
    const uint64_t src[static PTES_PER_PAGE], uint64_t dst[static PTES_PER_PAGE],
    struct pte_fault *fault)
{
    /* Xen validates no page tables of such a guest, so no page of it has such a type. */
    (void)g, (void)level, (void)src, (void)dst;
    *fault = (struct pte_fault){0};
    return -EINVAL;
}

static bool hvm_find_foreign(
    const struct guest *g, const uint64_t table[static PTES_PER_PAGE], struct pte_fault *fault)
{
    (void)g, (void)table, (void)fault;
    return false;
}

static int send_context(struct guest *g, struct page_sink *sink, struct err *e)
{
    struct iovec part;
    int rc = hvm_context_read(g->xen, g->dom.domid, &part.iov_base, &part.iov_len, e);

    if (rc)
        return rc;

    void *blob = part.iov_base;

    rc = sink->ops->state(sink, V3_HVM_CONTEXT, &part, 1, e);
    free(blob);
    return rc;
}

static int send_params(struct guest *g, struct page_sink *sink, struct err *e)
{
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES];
    unsigned count;
    const int rc = hvm_params_read(g->xen, g->dom.domid, params, &count, e);

    if (rc || !count)
        return rc;

    struct iovec part = {body, v3_encode_hvm_params(params, count, body)};

    return sink->ops->state(sink, V3_HVM_PARAMS, &part, 1, e);
}

static int hvm_send_state(struct guest *g, struct page_sink *sink, struct err *e)
{
    int rc = send_tsc_info(g, sink, e);

    if (!rc)
        rc = send_context(g, sink, e);
    if (!rc)
        rc = send_params(g, sink, e);
    return rc;
}

static void hvm_close(struct guest *g)
{
    free(g);
}

static const struct guest_ops hvm_ops = {
    .send_static = hvm_send_static,
    .send_memory_head = hvm_send_memory_head,
    .check = hvm_check,
    .frame_of = hvm_frame_of,
    .canonicalise = hvm_canonicalise,
    .find_foreign = hvm_find_foreign,
    .send_state = hvm_send_state,
    .close = hvm_close,
};

int guest_open_hvm(struct xen *xen, const struct domain *dom, struct guest **g, struct err *e)
{
    struct guest *n = calloc(1, sizeof(*n));

    if (!n)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    *n = (struct guest){
        .ops = &hvm_ops,
        .xen = xen,
        .dom = *dom,
        .v3_type = V3_GUEST_HVM,
        .frames = dom->max_gfn + 1,
        .present_pages = dom->total_pages,
    };
    *g = n;
    return 0;
}
