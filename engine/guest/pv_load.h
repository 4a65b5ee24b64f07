/*
 * PV guests at the destination: what restore_pv.c (records, shared info, pins, the p2m) and
 * restore_pv_vcpu.c (start_info and vCPUs) share.
 */
#ifndef ENGINE_GUEST_PV_LOAD_H
#define ENGINE_GUEST_PV_LOAD_H

#include "engine/guest/load.h"

/* What one vCPU was at the source. No data: nothing came, and nothing is to be set. */
struct vcpu_state {
    struct blob basic, extended, xsave, msrs;
};

struct pv_state {
    bool seen_info;
    unsigned width_bytes;
    uint64_t *p2m_pfns; /* frames of the guest's own p2m */
    uint64_t p2m_frames;
    uint64_t max_pfn;
    struct blob shared_info;
    struct vcpu_state *vcpus;
    unsigned vcpu_count;
};

/* The MFN of a frame that must be populated and of that type; what names it, for the message. */
int pv_find_frame(const struct restore *r, const char *what, uint64_t pfn, unsigned type,
    uint64_t *mfn, struct err *e);

/* Start_info, then every vCPU that came: their frames become machine frames, and Xen gets them. The
 * result gets the rings' frames. */
int pv_set_vcpus(struct restore *r, struct dest_result *result, struct err *e);

#endif
