/* SPDX-License-Identifier: MIT */
/*
 * What the destination keeps of a PV guest until its pages are in place: the records (pv_load.c)
 * and what its vCPUs are made of (pv_load_vcpu.c).
 */
#ifndef ENGINE_GUEST_PV_STATE_H
#define ENGINE_GUEST_PV_STATE_H

#include "engine/guest/loader.h"
#include "engine/guest/p2m_list.h"

/* What one vCPU was at the source. Empty: nothing came, so nothing is set. */
struct vcpu_state {
    struct blob basic, extended, xsave, msrs;
};

struct pv_state {
    bool have_info;
    unsigned width_bytes;
    unsigned levels;     /* of page tables */
    struct p2m_list p2m; /* the guest's own */
    uint64_t p2m_count;  /* frames that it is to have; 0: not known */
    uint64_t max_pfn;
    struct blob shared_info;
    bool have_rings; /* for PREPARE: where they are */
    uint64_t store_pfn, console_pfn;
    struct vcpu_state *vcpus;
    unsigned vcpu_count;
};

/* The MFN of a frame that must be populated and of that type; what names it, for the message. */
int pv_find_frame(const struct loader *l, const char *what, uint64_t pfn, unsigned type,
    uint64_t *mfn, struct err *e);

#endif
