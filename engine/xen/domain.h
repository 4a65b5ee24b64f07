/* SPDX-License-Identifier: MIT */
/*
 * What Xen says of a domain, as far as the engine needs it.
 */
#ifndef ENGINE_XEN_DOMAIN_H
#define ENGINE_XEN_DOMAIN_H

#include "engine/xen/xen.h"

#include <stdbool.h>

struct domain {
    uint32_t domid;
    bool hvm; /* an HVM container (PVH is one); false: PV */
    bool shut_down;
    unsigned shutdown_reason; /* SHUTDOWN_*, when shut_down */
    bool dying;
    bool paused;
    unsigned max_vcpu_id;
    unsigned width_bytes;       /* PV: 4 or 8; HVM container: 8 */
    uint64_t shared_info_frame; /* PV: MFN */
    uint64_t max_gfn;           /* the highest frame it has or had, HVM containers: p2m_size - 1 */
    uint64_t total_pages;
    uint64_t max_pages;
    uint64_t cpu_ns; /* of processor time that it has used */
};

/* ERR_LOCAL, -ESRCH when it does not exist (any more). */
int domain_read(struct xen *x, uint32_t domid, struct domain *d, struct err *e);

/* For a move that failed: if the guest has rebooted, powered off, crashed or is no more, *e becomes
 * that, an ERR_GUEST. Otherwise nothing is changed. */
void domain_explain_end(struct xen *x, uint32_t domid, struct err *e);

/* How many pages it may have. */
int domain_set_max_pages(struct xen *x, uint32_t domid, uint64_t pages, struct err *e);

/* ERR_GUEST if it is shut down or being destroyed, saying which. *cpu_ns: the processor time that
 * it has used. */
int domain_check_running(struct xen *x, uint32_t domid, uint64_t *cpu_ns, struct err *e);

/* ERR_GUEST unless it is shut down with reason suspend, saying what it is instead. */
int domain_check_suspended(struct xen *x, uint32_t domid, struct err *e);

/* All that libxl's unpause does for a guest without a device model. */
int domain_unpause(struct xen *x, uint32_t domid, struct err *e);

/* For a domain that is being built: ERR_LOCAL if it would run as soon as it has a vCPU. */
int domain_check_paused(struct xen *x, uint32_t domid, struct err *e);

#endif
