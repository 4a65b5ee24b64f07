/* SPDX-License-Identifier: MIT */
/*
 * HVM containers (PVH among them) at the source: frames have the guest's own numbers, which Xen
 * translates, and the guest's page tables name nothing of the host's.
 */
#include "engine/guest/hvm_save.h"

#include "engine/guest/common.h"
#include "engine/guest/hvm_params.h"
#include "engine/out/out.h"
#include "engine/xen/hvm.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hvm_guest {
    struct guest base;
    /* Sent ahead; there are none if nothing was. */
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    unsigned param_count;
};

static int hvm_send_static(struct guest *g, struct out *out, struct err *e)
{
    return send_cpu_policy(g, out, e);
}

static int hvm_send_memory_head(struct guest *g, struct out *out, struct err *e)
{
    (void)g, (void)out, (void)e;
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
    /* Xen validates no page tables of such a guest, so none of its pages has such a type. */
    (void)g, (void)level, (void)src, (void)dst;
    *fault = (struct pte_fault){0};
    return -EINVAL;
}

static bool hvm_find_foreign(const struct guest *g, unsigned level,
    const uint64_t table[static PTES_PER_PAGE], struct pte_fault *fault)
{
    (void)g, (void)level, (void)table, (void)fault;
    return false;
}

static int send_context(struct guest *g, struct out *out, struct err *e)
{
    struct blob context = {0};
    int rc = hvm_context_read(g->xen, g->dom.domid, &context, e);

    if (rc)
        return rc;

    struct iovec part = {context.data, context.len_bytes};

    rc = out->ops->state(out, V3_HVM_CONTEXT, &part, 1, e);
    blob_free(&context);
    return rc;
}

/* Parameters that move with a guest and are not zero. */
static int read_params(
    struct guest *g, struct v3_hvm_param params[V3_MAX_HVM_PARAMS], unsigned *count, struct err *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < HVM_MOVING_PARAMS; i++) {
        uint64_t value;
        const int rc = hvm_param_read(g->xen, g->dom.domid, hvm_moving_params[i], &value, e);

        if (rc)
            return rc;
        if (value)
            params[n++] = (struct v3_hvm_param){hvm_moving_params[i], value};
    }
    *count = n;
    return 0;
}

static int send_param_record(
    struct out *out, const struct v3_hvm_param *params, unsigned count, struct err *e)
{
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES];
    struct iovec part = {body, v3_encode_hvm_params(params, count, body)};

    return count ? out->ops->state(out, V3_HVM_PARAMS, &part, 1, e) : 0;
}

static int hvm_send_ahead(struct guest *g, struct xs_handle *xs, struct out *out, struct err *e)
{
    struct hvm_guest *h = (struct hvm_guest *)g;
    const int rc = read_params(g, h->params, &h->param_count, e);

    (void)xs;
    return rc ? rc : send_param_record(out, h->params, h->param_count, e);
}

static int send_params(struct guest *g, struct out *out, struct err *e)
{
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    unsigned count;
    const int rc = read_params(g, params, &count, e);

    return rc ? rc : send_param_record(out, params, count, e);
}

/* A hypercall each, for which the receiver need not wait. */
static int hvm_check_ahead(struct guest *g, struct err *e)
{
    const struct hvm_guest *h = (struct hvm_guest *)g;
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    unsigned count;
    int rc;

    if (!h->param_count)
        return 0;
    rc = read_params(g, params, &count, e);
    if (rc)
        return rc;
    if (count == h->param_count && !memcmp(params, h->params, count * sizeof(params[0])))
        return 0;
    return err_set(e, ERR_GUEST, ESTALE,
        "an HVM parameter of domain %u changed after the destination was prepared for it",
        g->dom.domid);
}

static int hvm_send_state(struct guest *g, struct out *out, struct err *e)
{
    const struct hvm_guest *h = (struct hvm_guest *)g;
    int rc = send_tsc_info(g, out, e);

    if (!rc)
        rc = send_context(g, out, e);
    return rc || h->param_count ? rc : send_params(g, out, e);
}

static void hvm_close(struct guest *g)
{
    free(g);
}

static const struct guest_ops hvm_ops = {
    .send_static = hvm_send_static,
    .send_memory_head = hvm_send_memory_head,
    .send_ahead = hvm_send_ahead,
    .check = hvm_check,
    .frame_of = hvm_frame_of,
    .frames_are_pfns = true,
    .canonicalise = hvm_canonicalise,
    .find_foreign = hvm_find_foreign,
    .send_state = hvm_send_state,
    .check_ahead = hvm_check_ahead,
    .close = hvm_close,
};

int hvm_save_open(struct xen *xen, const struct domain *dom, struct guest **g, struct err *e)
{
    const int rc = hvm_check_pod(xen, dom->domid, e);

    if (rc)
        return rc;

    struct hvm_guest *n = calloc(1, sizeof(*n));

    if (!n)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    n->base = (struct guest){
        .ops = &hvm_ops,
        .xen = xen,
        .dom = *dom,
        .v3_type = V3_GUEST_HVM,
        .frames = dom->max_gfn + 1,
        .present_pages = dom->total_pages,
    };
    *g = &n->base;
    return 0;
}
