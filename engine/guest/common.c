#include "engine/guest/guest.h"

#include "engine/out/out.h"
#include "engine/xen/cpu_policy.h"

#include <errno.h>

int guest_open(struct xen *xen, uint32_t domid, struct guest **g, struct err *e)
{
    struct domain dom;
    const int rc = domain_read(xen, domid, &dom, e);

    if (rc)
        return rc;
    if (dom.dying)
        return err_set(e, ERR_GUEST, ESRCH, "domain %u is being destroyed", domid);
    if (dom.shut_down)
        return err_set(e, ERR_REFUSED, ESHUTDOWN,
            "domain %u does not run: it has shut down (reason %u)", domid, dom.shutdown_reason);
    return dom.hvm ? guest_open_hvm(xen, &dom, g, e) : guest_open_pv(xen, &dom, g, e);
}

static int send_policy_records(
    struct page_sink *sink, const struct cpu_policy *policy, struct err *e)
{
    struct iovec leaves = {policy->leaves, policy->leaf_count * sizeof(*policy->leaves)};
    struct iovec msrs = {policy->msrs, policy->msr_count * sizeof(*policy->msrs)};
    int rc = 0;

    if (leaves.iov_len)
        rc = sink->ops->state(sink, V3_X86_CPUID_POLICY, &leaves, 1, e);
    if (!rc && msrs.iov_len)
        rc = sink->ops->state(sink, V3_X86_MSR_POLICY, &msrs, 1, e);
    return rc;
}

int send_cpu_policy(struct guest *g, struct page_sink *sink, struct err *e)
{
    struct cpu_policy policy;
    int rc = cpu_policy_read(g->xen, g->dom.domid, &policy, e);

    if (!rc)
        rc = send_policy_records(sink, &policy, e);
    cpu_policy_free(&policy);
    return rc;
}

int send_tsc_info(struct guest *g, struct page_sink *sink, struct err *e)
{
    struct v3_tsc_info tsc;
    uint8_t body[V3_TSC_INFO_BYTES];
    struct iovec part = {body, sizeof(body)};
    const int rc = tsc_info_read(g->xen, g->dom.domid, &tsc, e);

    if (rc)
        return rc;
    v3_encode_tsc_info(&tsc, body);
    return sink->ops->state(sink, V3_X86_TSC_INFO, &part, 1, e);
}
