/* SPDX-License-Identifier: MIT */
#include "engine/guest/common.h"

#include "engine/out/out.h"
#include "engine/xen/build.h"
#include "transport/v3.h"

#include <errno.h>

_Static_assert(sizeof(xen_cpuid_leaf_t) == V3_CPUID_LEAF_BYTES, "leaves travel as Xen has them");
_Static_assert(sizeof(xen_msr_entry_t) == V3_MSR_ENTRY_BYTES, "MSRs travel as Xen has them");

static int send_policy_records(struct out *out, const struct cpu_policy *policy, struct err *e)
{
    struct iovec leaves = {policy->leaves, policy->leaf_count * sizeof(*policy->leaves)};
    struct iovec msrs = {policy->msrs, policy->msr_count * sizeof(*policy->msrs)};
    int rc = 0;

    if (leaves.iov_len)
        rc = out->ops->state(out, V3_X86_CPUID_POLICY, &leaves, 1, e);
    if (!rc && msrs.iov_len)
        rc = out->ops->state(out, V3_X86_MSR_POLICY, &msrs, 1, e);
    return rc;
}

int send_kernel_notes(const struct kernel_notes *n, struct out *out, struct err *e)
{
    uint8_t head[KERNEL_NOTES_HEAD_BYTES];
    struct iovec parts[] = {{head, sizeof(head)}, {(void *)n->bytes, n->len_bytes}};

    if (n->origin == NOTES_NONE)
        return 0;
    kernel_notes_encode(n, head);
    return out->ops->state(out, V3_KERNEL_NOTES, parts, 2, e);
}

int send_cpu_policy(struct guest *g, struct out *out, struct err *e)
{
    struct cpu_policy policy;
    int rc = cpu_policy_read(g->xen, g->dom.domid, &policy, e);

    if (!rc)
        rc = send_policy_records(out, &policy, e);
    cpu_policy_free(&policy);
    return rc;
}

int load_cpu_policy(
    struct loader *l, uint32_t type, const void *body, size_t len_bytes, struct err *e)
{
    const int rc = v3_check_blob(type, len_bytes, e);

    if (rc)
        return rc;
    if (l->static_done)
        return err_set(e, ERR_PEER, EPROTO, "%s came after STATIC_DATA_END", v3_name(type));
    return blob_keep(type == V3_X86_CPUID_POLICY ? &l->cpuid : &l->msrs, body, len_bytes, e);
}

int set_cpu_policy(struct loader *l, struct err *e)
{
    const struct cpu_policy policy = {
        .leaves = l->cpuid.data,
        .leaf_count = (uint32_t)(l->cpuid.len_bytes / sizeof(*policy.leaves)),
        .msrs = l->msrs.data,
        .msr_count = (uint32_t)(l->msrs.len_bytes / sizeof(*policy.msrs)),
    };

    return cpu_policy_set(&l->xen, l->p->domid, &policy, e);
}

int send_tsc_info(struct guest *g, struct out *out, struct err *e)
{
    struct tsc_info tsc;
    uint8_t body[V3_TSC_INFO_BYTES];
    struct iovec part = {body, sizeof(body)};
    const int rc = tsc_info_read(g->xen, g->dom.domid, &tsc, e);

    if (rc)
        return rc;

    const struct v3_tsc_info told = {
        .mode = tsc.mode, .khz = tsc.khz, .nsec = tsc.nsec, .incarnation = tsc.incarnation};

    v3_encode_tsc_info(&told, body);
    return out->ops->state(out, V3_X86_TSC_INFO, &part, 1, e);
}

int load_tsc_info(struct loader *l, const void *body, size_t len_bytes, struct err *e)
{
    struct v3_tsc_info told;
    const int rc = v3_decode_tsc_info(body, len_bytes, &told, e);

    if (rc)
        return rc;

    const struct tsc_info tsc = {
        .mode = told.mode, .khz = told.khz, .nsec = told.nsec, .incarnation = told.incarnation};

    return tsc_info_set(&l->xen, l->p->domid, &tsc, e);
}

int seed_grants(struct loader *l, const struct guest_rings *rings, struct err *e)
{
    const struct build_rings served = {
        .hvm = l->domain.hvm,
        .console_frame = rings->console_gfn,
        .store_frame = rings->store_gfn,
        .console_domid = l->p->console_domid,
        .store_domid = l->p->store_domid,
    };

    return build_seed_grants(&l->xen, l->p->domid, &served, e);
}
