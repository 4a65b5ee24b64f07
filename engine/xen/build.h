/* SPDX-License-Identifier: MIT */
/*
 * What a domain gets while it is built: memory, its width, pinned page tables, the grants of its
 * rings.
 */
#ifndef ENGINE_XEN_BUILD_H
#define ENGINE_XEN_BUILD_H

#include "engine/xen/xen.h"

#include <stdbool.h>
#include <stdint.h>

/* Give count pieces of 2^order pages to the domain: frames[i] is where a piece is to be (a GFN),
 * and for a PV guest becomes where it is (an MFN). Returns how many there was memory for, or
 * -errno without an error set. */
int build_populate(struct xen *x, uint32_t domid, unsigned order, uint64_t *frames, unsigned count);

/* Take single pages back, given as above (GFNs; MFNs of a PV guest). -EBUSY when Xen did not take
 * all. */
int build_release(
    struct xen *x, uint32_t domid, const uint64_t *frames, unsigned count, struct err *e);

/* Xen keeps memory for the domain until it has so many pages in all; 0: what is left of that is
 * free again. A Xen that knows no claims keeps nothing. */
int build_claim(struct xen *x, uint32_t domid, uint64_t pages, struct err *e);

/* Fill a page with zeros; what: for the message ("the ring"). */
int build_clear_page(
    struct xen *x, uint32_t domid, uint64_t frame, const char *what, struct err *e);

/* PV: 4 or 8 bytes, before the domain has any memory. */
int build_set_width(struct xen *x, uint32_t domid, unsigned width_bytes, struct err *e);

/* PV: a page table and its level, 1 to 4. */
struct build_pin {
    uint64_t mfn;
    unsigned level;
};

enum { BUILD_MAX_PINS = 1024 };

/* At most BUILD_MAX_PINS; nobody may have one of the tables mapped writable. */
int build_pin_tables(
    struct xen *x, uint32_t domid, const struct build_pin *pins, unsigned count, struct err *e);

/* The domains that serve the rings, and where the rings are (GFNs; MFNs of a PV guest). */
struct build_rings {
    bool hvm;
    uint64_t console_frame, store_frame;
    uint32_t console_domid, store_domid;
};

/* Let those domains map the rings by grant. */
int build_seed_grants(
    struct xen *x, uint32_t domid, const struct build_rings *rings, struct err *e);

#endif
