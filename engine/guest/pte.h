/* SPDX-License-Identifier: MIT */
/*
 * Page-table entries of PV guests: pure functions, no Xen. A guest's tables name machine frames
 * (MFNs); in the stream they name the guest's own (PFNs), and at the destination MFNs again.
 *
 * Every table is treated as 512 entries of 64 bits (PAE tables too). Only entries that name a frame
 * are translated, and of these only the frame (bits 12 to 51); the others are copied as they are:
 * those that are present, and in a table of level 1 those that bear the marks by which the guest's
 * kernel says so (XEN_ELFNOTE_L1_MFN_VALID). Entries of Xen's own slots become zero.
 */
#ifndef ENGINE_GUEST_PTE_H
#define ENGINE_GUEST_PTE_H

#include "transport/kernel_notes.h"

#include <stdbool.h>
#include <stdint.h>

enum { PTES_PER_PAGE = 512 };

#define PTE_PRESENT    0x1ull
#define PTE_PSE        0x80ull
#define PTE_FRAME_MASK 0x000ffffffffff000ull

static inline uint64_t pte_frame(uint64_t pte)
{
    return (pte & PTE_FRAME_MASK) >> 12;
}

static inline uint64_t pte_with_frame(uint64_t pte, uint64_t frame)
{
    return (pte & ~PTE_FRAME_MASK) | (frame << 12 & PTE_FRAME_MASK);
}

static inline bool pte_names_frame(const struct pte_marks *marks, unsigned level, uint64_t pte)
{
    if (pte & PTE_PRESENT)
        return true;
    for (unsigned i = 0; level == 1 && i < marks->count; i++)
        if ((pte & marks->of[i].mask) == marks->of[i].value)
            return true;
    return false;
}

/* What one table needs to be translated. */
struct pte_rules {
    struct pte_marks marks;
    unsigned levels; /* of the guest: 4 (64 bit) or 3 (32-bit PAE) */
    /* 32 bit: the first frame of Xen's compat M2P, by which an L2 with Xen's slots is known. */
    uint64_t compat_m2p_mfn;
    /* False when the frame is not the guest's (canonicalise) or not populated (localise). */
    bool (*translate)(void *arg, uint64_t frame, uint64_t *out);
    void *arg;
};

/* The first entry that could not be translated, for messages. */
struct pte_fault {
    unsigned index;
    uint64_t pte;
};

/*
 * MFNs to PFNs, from src (which the guest may be changing: each entry is read once) to dst.
 * 0; -EAGAIN: a frame is not the guest's (torn while it runs, or foreign); -E2BIG: a superpage;
 * -EINVAL: a level that this guest cannot have. *fault is set with any of them.
 */
int canonicalise_page(const struct pte_rules *rules, unsigned level,
    const uint64_t src[static PTES_PER_PAGE], uint64_t dst[static PTES_PER_PAGE],
    struct pte_fault *fault);

/* Is there an entry that names a frame that is wanted? The first one is in *fault. */
bool find_pte(const struct pte_marks *marks, unsigned level,
    const uint64_t table[static PTES_PER_PAGE], bool (*wanted)(const void *arg, uint64_t frame),
    const void *arg, struct pte_fault *fault);

/*
 * PFNs to MFNs in place. 0; -ERANGE: translate said no (beyond max_pfn, or not populated).
 */
int localise_page(const struct pte_rules *rules, unsigned level,
    uint64_t table[static PTES_PER_PAGE], struct pte_fault *fault);

/* Does a table in the guest's own frames name one at or beyond frame_count? The first, if so. */
bool find_pte_beyond(const struct pte_marks *marks, unsigned level,
    const uint64_t table[static PTES_PER_PAGE], uint64_t frame_count, unsigned *index);

#endif
