/* SPDX-License-Identifier: MIT */
/*
 * What libxenctrl and libxenforeignmemory are to the destination's engine, in their place: one
 * domain that was just created, and what a restore asks of Xen. It does not judge as Xen does; it
 * aborts when it is asked what the engine must never ask, whatever the stream says:
 *
 *   - to map, pin, clear or run on a frame that the domain does not have
 *   - to give memory to a frame twice
 *   - to pin a page table, or set a vCPU, while something is mapped
 *   - to make a frame the ring of an HVM container without clearing it
 *   - to pin a page table that names a frame which the domain never had; one that it gave back is
 *     refused, as by Xen
 */
#ifndef TESTS_FUZZ_FAKE_XEN_H
#define TESTS_FUZZ_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

enum { FAKE_DOMID = 7 };

struct fake_xen {
    /* Set by the target. */
    bool hvm;
    unsigned max_vcpu_id;
    unsigned fail_at; /* the how-manieth call fails; 0: none does */

    /* What was asked. */
    unsigned width_bytes;
    unsigned calls;
    unsigned vcpus_set, contexts_set, grants_seeded, policies_set;
};

/* A new domain, as set; what is left of the one before is given back. */
void fake_xen_begin(const struct fake_xen *wanted);
/* Aborts if something is still mapped, open or allocated. */
const struct fake_xen *fake_xen_end(void);

/* Is that a frame (PV: a machine frame) of the domain? */
bool fake_xen_owns(uint64_t gfn);

#endif
