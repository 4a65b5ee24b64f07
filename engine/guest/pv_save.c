/* SPDX-License-Identifier: MIT */
/*
 * PV guests at the source: frames are the host's (MFNs), so everything that names one, page tables
 * and registers, is turned into the guest's own numbers (PFNs) on its way out.
 */
#include "engine/guest/pv_save.h"

#include "engine/guest/common.h"
#include "engine/guest/page_any.h"
#include "engine/guest/pv_memory.h"
#include "engine/guest/pv_rings.h"
#include "engine/guest/pv_save_vcpu.h"
#include "engine/out/out.h"
#include "engine/xen/vcpu.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <xen/hvm/params.h>

_Static_assert(sizeof(vcpu_guest_context_x86_64_t) == V3_VCPU_BASIC_64_BYTES, "a 64-bit vCPU");
_Static_assert(sizeof(vcpu_guest_context_x86_32_t) == V3_VCPU_BASIC_32_BYTES, "a 32-bit vCPU");

struct guest_pv {
    struct guest base;
    struct pv_memory memory;
    struct pte_rules rules;
    struct pv_rings rings; /* sent ahead, if known */
};

static const struct guest_pv *pv_of(const struct guest *g)
{
    return (const struct guest_pv *)g;
}

static bool translate(void *arg, uint64_t mfn, uint64_t *pfn)
{
    return pv_mfn_to_pfn(arg, mfn, pfn);
}

static int pv_send_static(struct guest *g, struct out *out, struct err *e)
{
    const struct pv_memory *m = &pv_of(g)->memory;
    const struct v3_pv_info info = {(uint8_t)m->width_bytes, (uint8_t)m->levels};
    uint8_t body[V3_PV_INFO_BYTES];
    struct iovec part = {body, sizeof(body)};

    v3_encode_pv_info(&info, body);

    const int rc = out->ops->state(out, V3_X86_PV_INFO, &part, 1, e);

    return rc ? rc : send_cpu_policy(g, out, e);
}

static int pv_send_memory_head(struct guest *g, struct out *out, struct err *e)
{
    const struct pv_memory *m = &pv_of(g)->memory;
    uint8_t head[V3_P2M_FRAMES_BYTES];
    struct iovec parts[] = {
        {head, sizeof(head)},
        {m->p2m_pfns, m->p2m_frames * sizeof(*m->p2m_pfns)},
    };

    v3_encode_p2m_frames(0, (uint32_t)m->max_pfn, head);
    return out->ops->state(out, V3_X86_PV_P2M_FRAMES, parts, 2, e);
}

/* As HVM parameters: libxc's stream has no record for this. */
static int pv_send_ahead(struct guest *g, struct xs_handle *xs, struct out *out, struct err *e)
{
    struct pv_rings *r = &((struct guest_pv *)g)->rings;
    uint8_t body[V3_HVM_PARAMS_MAX_BYTES];

    pv_rings_find(xs, &pv_of(g)->memory, r);
    if (!r->known)
        return -ENOENT;

    const struct v3_hvm_param params[] = {
        {HVM_PARAM_STORE_PFN, r->store_pfn},
        {HVM_PARAM_CONSOLE_PFN, r->console_pfn},
    };
    struct iovec part = {body, v3_encode_hvm_params(params, 2, body)};

    return out->ops->state(out, V3_HVM_PARAMS, &part, 1, e);
}

static int pv_check(struct guest *g, struct err *e)
{
    return pv_memory_check(&pv_of(g)->memory, e);
}

static uint64_t pv_frame_of(const struct guest *g, uint64_t pfn)
{
    const uint64_t mfn = pv_pfn_to_mfn(&pv_of(g)->memory, pfn);

    return mfn == PV_NO_FRAME ? GUEST_NO_FRAME : mfn;
}

static int pv_canonicalise(const struct guest *g, unsigned level,
    const uint64_t src[static PTES_PER_PAGE], uint64_t dst[static PTES_PER_PAGE],
    struct pte_fault *fault)
{
    return canonicalise_page(&pv_of(g)->rules, level, src, dst, fault);
}

static bool is_foreign(const void *memory, uint64_t mfn)
{
    return pv_mfn_is_foreign(memory, mfn);
}

static bool pv_find_foreign(const struct guest *g, unsigned level,
    const uint64_t table[static PTES_PER_PAGE], struct pte_fault *fault)
{
    return find_pte(&pv_of(g)->rules.marks, level, table, is_foreign, &pv_of(g)->memory, fault);
}

static int send_shared_info(struct guest *g, struct out *out, struct err *e)
{
    struct iovec part = {(void *)pv_of(g)->memory.shared_info, XC_PAGE_SIZE};

    return out->ops->state(out, V3_SHARED_INFO, &part, 1, e);
}

/* Send a vCPU record, or none if the blob is empty. Empties it. */
static int send_blob(
    struct out *out, uint32_t v3_type, uint32_t vcpu, struct blob *blob, struct err *e)
{
    uint8_t head[V3_VCPU_BYTES];
    struct iovec parts[] = {{head, sizeof(head)}, {blob->data, blob->len_bytes}};
    int rc = 0;

    v3_encode_vcpu(vcpu, head);
    if (blob->data)
        rc = out->ops->state(out, v3_type, parts, 2, e);
    blob_free(blob);
    return rc;
}

static int read_basic(struct guest *g, uint32_t vcpu, struct blob *blob, struct err *e)
{
    const struct pv_memory *m = &pv_of(g)->memory;
    vcpu_guest_context_any_t context;
    int rc = vcpu_read_context(g->xen, g->dom.domid, vcpu, &context, e);

    if (!rc)
        rc = canonicalise_vcpu(m, vcpu, &context, e);
    if (!rc && !vcpu && pv_of(g)->rings.known)
        rc = pv_rings_check(
            g->xen, m, &pv_of(g)->rings, get_any(&context, user_regs.edx, m->width_bytes), e);
    if (rc)
        return rc;
    return blob_keep(
        blob, &context, m->width_bytes == 8 ? sizeof(context.x64) : sizeof(context.x32), e);
}

static int send_vcpu(struct guest *g, uint32_t vcpu, struct out *out, struct err *e)
{
    const uint32_t domid = g->dom.domid;
    struct blob blob = {0};
    int rc = read_basic(g, vcpu, &blob, e);

    if (!rc)
        rc = send_blob(out, V3_X86_PV_VCPU_BASIC, vcpu, &blob, e);
    if (!rc)
        rc = vcpu_read_extended(g->xen, domid, vcpu, &blob, e);
    if (!rc)
        rc = send_blob(out, V3_X86_PV_VCPU_EXTENDED, vcpu, &blob, e);
    if (!rc)
        rc = vcpu_read_xsave(g->xen, domid, vcpu, &blob, e);
    if (!rc)
        rc = send_blob(out, V3_X86_PV_VCPU_XSAVE, vcpu, &blob, e);
    if (!rc)
        rc = vcpu_read_msrs(g->xen, domid, vcpu, &blob, e);
    if (!rc)
        rc = send_blob(out, V3_X86_PV_VCPU_MSRS, vcpu, &blob, e);
    return rc;
}

static int send_vcpus(struct guest *g, struct out *out, struct err *e)
{
    int rc = 0;

    for (uint32_t vcpu = 0; vcpu <= g->dom.max_vcpu_id && !rc; vcpu++) {
        bool online = false;

        rc = vcpu_is_online(g->xen, g->dom.domid, vcpu, &online, e);
        if (!rc && online)
            rc = send_vcpu(g, vcpu, out, e);
    }
    return rc;
}

static int pv_send_state(struct guest *g, struct out *out, struct err *e)
{
    int rc = send_tsc_info(g, out, e);

    if (!rc)
        rc = send_shared_info(g, out, e);
    if (!rc)
        rc = send_vcpus(g, out, e);
    return rc;
}

/* Its start info, which names the rings, was found with vCPU 0. */
static int pv_check_ahead(struct guest *g, struct err *e)
{
    (void)g, (void)e;
    return 0;
}

static void pv_close(struct guest *g)
{
    struct guest_pv *pv = (struct guest_pv *)g;

    pv_memory_unmap(g->xen, &pv->memory);
    free(pv);
}

static const struct guest_ops pv_ops = {
    .send_static = pv_send_static,
    .send_memory_head = pv_send_memory_head,
    .send_ahead = pv_send_ahead,
    .check = pv_check,
    .frame_of = pv_frame_of,
    .canonicalise = pv_canonicalise,
    .find_foreign = pv_find_foreign,
    .send_state = pv_send_state,
    .check_ahead = pv_check_ahead,
    .close = pv_close,
};

int pv_save_open(struct xen *xen, const struct domain *dom, const struct pte_marks *marks,
    struct guest **g, struct err *e)
{
    struct guest_pv *pv = calloc(1, sizeof(*pv));

    if (!pv)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    const int rc = pv_memory_map(xen, dom, &pv->memory, e);

    if (rc) {
        free(pv);
        return rc;
    }
    pv->rules = (struct pte_rules){
        .marks = *marks,
        .levels = pv->memory.levels,
        .compat_m2p_mfn = pv->memory.compat_m2p_mfn,
        .translate = translate,
        .arg = &pv->memory,
    };
    pv->base = (struct guest){
        .ops = &pv_ops,
        .xen = xen,
        .dom = *dom,
        .v3_type = V3_GUEST_PV,
        .frames = pv->memory.max_pfn + 1,
        .present_pages = dom->total_pages,
        .p2m_layout = pv->memory.has_generation ? "list" : "tree",
    };
    *g = &pv->base;
    return 0;
}
