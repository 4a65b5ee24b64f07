/* SPDX-License-Identifier: MIT */
#include "engine/xen/domain.h"

#include <errno.h>

int domain_read(struct xen *x, uint32_t domid, struct domain *d, struct err *e)
{
    xc_domaininfo_t info;
    const int n = xc_domain_getinfolist(x->xch, domid, 1, &info);

    if (n < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen about domain %u", domid);
    if (n == 0 || info.domain != domid)
        return err_set(e, ERR_LOCAL, ESRCH, "there is no domain %u", domid);

    *d = (struct domain){
        .domid = domid,
        .hvm = info.flags & XEN_DOMINF_hvm_guest,
        .shut_down = info.flags & XEN_DOMINF_shutdown,
        .shutdown_reason = info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask,
        .dying = info.flags & XEN_DOMINF_dying,
        .paused = info.flags & XEN_DOMINF_paused,
        .max_vcpu_id = info.max_vcpu_id,
        .width_bytes = 8,
        .shared_info_frame = info.shared_info_frame,
        .total_pages = info.tot_pages,
        .max_pages = info.max_pages,
        .cpu_ns = info.cpu_time,
    };
    if (d->hvm) {
        xen_pfn_t frames;

        if (xc_domain_nr_gpfns(x->xch, domid, &frames) < 0)
            return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen how large domain %u is", domid);
        d->max_gfn = frames - 1;
    } else if (xc_domain_get_guest_width(x->xch, domid, &d->width_bytes)) {
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen for the width of domain %u", domid);
    }
    return 0;
}

int domain_set_max_pages(struct xen *x, uint32_t domid, uint64_t pages, struct err *e)
{
    if (xc_domain_setmaxmem(x->xch, domid, pages * (XC_PAGE_SIZE / 1024)))
        return err_sys(e, ERR_LOCAL, errno, "cannot set how much memory domain %u may have", domid);
    return 0;
}

int domain_unpause(struct xen *x, uint32_t domid, struct err *e)
{
    return xc_domain_unpause(x->xch, domid)
               ? err_sys(e, ERR_LOCAL, errno, "cannot unpause domain %u", domid)
               : 0;
}

static int read_living(struct xen *x, uint32_t domid, struct domain *d, struct err *e)
{
    const int rc = domain_read(x, domid, d, e);

    if (!rc && d->dying)
        return err_set(e, ERR_GUEST, ESRCH, "domain %u is being destroyed", domid);
    return rc;
}

/* What the guest did, for people. */
static const char *end_words(unsigned reason)
{
    static const char *const words[] = {
        [SHUTDOWN_poweroff] = "powered off",
        [SHUTDOWN_reboot] = "rebooted",
        [SHUTDOWN_suspend] = "suspended",
        [SHUTDOWN_crash] = "crashed",
        [SHUTDOWN_watchdog] = "was ended by its watchdog",
        [SHUTDOWN_soft_reset] = "reset itself",
    };

    return reason < sizeof(words) / sizeof(words[0]) ? words[reason] : "shut down";
}

void domain_explain_end(struct xen *x, uint32_t domid, struct err *e)
{
    struct err why = ERR_INIT;
    struct domain d;
    const int rc = domain_read(x, domid, &d, &why);

    if (rc && rc != -ESRCH)
        return;
    if (!rc && !d.dying && (!d.shut_down || d.shutdown_reason == SHUTDOWN_suspend))
        return;
    *e = (struct err)ERR_INIT;
    if (!rc && d.shut_down)
        err_set(e, ERR_GUEST, ESHUTDOWN, "domain %u %s while it was being moved", domid,
            end_words(d.shutdown_reason));
    else
        err_set(e, ERR_GUEST, ESRCH, "domain %u ended while it was being moved", domid);
}

int domain_check_running(struct xen *x, uint32_t domid, uint64_t *cpu_ns, struct err *e)
{
    struct domain d;
    const int rc = read_living(x, domid, &d, e);

    if (rc)
        return rc;
    if (d.shut_down)
        return err_set(e, ERR_GUEST, ESHUTDOWN, "domain %u %s while it was being moved", domid,
            end_words(d.shutdown_reason));
    *cpu_ns = d.cpu_ns;
    return 0;
}

int domain_check_suspended(struct xen *x, uint32_t domid, struct err *e)
{
    struct domain d;
    const int rc = read_living(x, domid, &d, e);

    if (rc)
        return rc;
    if (!d.shut_down)
        return err_set(e, ERR_GUEST, EBUSY, "domain %u was to be suspended, but runs", domid);
    if (d.shutdown_reason != SHUTDOWN_suspend)
        return err_set(e, ERR_GUEST, ESHUTDOWN, "domain %u %s instead of suspending", domid,
            end_words(d.shutdown_reason));
    return 0;
}

int domain_check_paused(struct xen *x, uint32_t domid, struct err *e)
{
    struct domain d;
    const int rc = domain_read(x, domid, &d, e);

    if (!rc && !d.paused)
        return err_set(e, ERR_LOCAL, EBUSY,
            "domain %u was unpaused by somebody before it was complete, and is given up", domid);
    return rc;
}
