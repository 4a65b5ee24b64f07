/* SPDX-License-Identifier: MIT */
/*
 * What differs by guest type at the destination: what its state becomes here. Two types: PV
 * (pv_load.c) and HVM containers, PVH among them (hvm_load.c). The story uses them through load.h.
 * What must wait for the last page is kept and done by complete(), with every page in place and
 * nothing mapped.
 *
 * Owner: the thread that runs the destination's story. Lanes share frames alone, while it waits.
 */
#ifndef ENGINE_GUEST_LOADER_H
#define ENGINE_GUEST_LOADER_H

#include "base/blob.h"
#include "engine/in/frames.h"
#include "engine/in/in.h"
#include "engine/xen/domain.h"

struct loader;

/* The domain, empty and paused, and the domains that serve its rings. */
struct loader_params {
    uint32_t domid;
    uint32_t store_evtchn, store_domid;
    uint32_t console_evtchn, console_domid;
    const struct log *log;
};

/* Where the rings are now: MFNs of a PV guest, GFNs of others. */
struct guest_rings {
    uint64_t store_gfn, console_gfn;
};

struct loader_ops {
    /* A state record of this guest type alone. Its place in the order was checked. One that comes
     * again replaces what came before. */
    int (*state)(struct loader *l, const struct in_event *state, struct err *e);
    /* What pages of this guest type need besides (PV: the size of its p2m). */
    int (*check_ready)(struct loader *l, struct err *e);
    /* While pages still come: what libxl needs to build the rest around the domain. Once; the rings
     * stay where they are then. */
    int (*prepare)(struct loader *l, struct guest_rings *rings, struct err *e);
    int (*complete)(struct loader *l, struct guest_rings *rings, struct err *e);
    /* Called exactly once, also after a failure. */
    void (*destroy)(struct loader *l);
};

struct loader {
    const struct loader_ops *ops;
    const struct loader_params *p;
    struct xen xen;
    struct domain domain;   /* max_pages: while it is built */
    uint64_t max_pages;     /* that it may have in the end */
    struct frames frames;   /* ready once load_check_ready() says so */
    bool static_done;       /* STATIC_DATA_END was there */
    bool prepared;          /* PREPARE was there */
    struct pte_marks marks; /* of its page tables, by its kernel's notes */
    struct blob cpuid, msrs;
    void *guest; /* the ops' own */
};

#endif
