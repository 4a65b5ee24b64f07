/* SPDX-License-Identifier: MIT */
#include "engine/guest/pte.h"

#include <errno.h>

/* Slots that belong to Xen (public/arch-x86/xen-x86_64.h and xen-x86_32.h). */
enum {
    X64_L4_XEN_FIRST = 256,
    X64_L4_XEN_LAST = 271,
    X32_L3_GUEST_LAST = 3,
    X32_L2_XEN_FIRST = 428,
};

/* The range of entries of this table that are Xen's; first > last when there is none. */
struct slots {
    unsigned first, last;
};

static uint64_t read_once(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static struct slots find_xen_slots(
    const struct pte_rules *rules, unsigned level, const uint64_t *src)
{
    if (rules->levels == 4 && level == 4)
        return (struct slots){X64_L4_XEN_FIRST, X64_L4_XEN_LAST};
    if (rules->levels == 3 && level == 3)
        return (struct slots){X32_L3_GUEST_LAST + 1, PTES_PER_PAGE - 1};
    if (rules->levels == 3 && level == 2 &&
        pte_frame(read_once(&src[X32_L2_XEN_FIRST])) == rules->compat_m2p_mfn)
        return (struct slots){X32_L2_XEN_FIRST, PTES_PER_PAGE - 1};
    return (struct slots){1, 0};
}

static int fail(struct pte_fault *fault, unsigned index, uint64_t pte, int rc)
{
    *fault = (struct pte_fault){index, pte};
    return rc;
}

int canonicalise_page(const struct pte_rules *rules, unsigned level,
    const uint64_t src[static PTES_PER_PAGE], uint64_t dst[static PTES_PER_PAGE],
    struct pte_fault *fault)
{
    if (level < 1 || level > rules->levels)
        return fail(fault, 0, 0, -EINVAL);

    const struct slots xen = find_xen_slots(rules, level, src);

    for (unsigned i = 0; i < PTES_PER_PAGE; i++) {
        const uint64_t pte = read_once(&src[i]);
        uint64_t pfn;

        if (i >= xen.first && i <= xen.last) {
            dst[i] = 0;
        } else if (!pte_names_frame(&rules->marks, level, pte)) {
            dst[i] = pte;
        } else if (level > 1 && (pte & PTE_PSE)) {
            return fail(fault, i, pte, -E2BIG);
        } else if (!rules->translate(rules->arg, pte_frame(pte), &pfn)) {
            return fail(fault, i, pte, -EAGAIN);
        } else {
            dst[i] = pte_with_frame(pte, pfn);
        }
    }
    return 0;
}

bool find_pte(const struct pte_marks *marks, unsigned level,
    const uint64_t table[static PTES_PER_PAGE], bool (*wanted)(const void *arg, uint64_t frame),
    const void *arg, struct pte_fault *fault)
{
    for (unsigned i = 0; i < PTES_PER_PAGE; i++) {
        const uint64_t pte = read_once(&table[i]);

        if (!pte_names_frame(marks, level, pte) || !wanted(arg, pte_frame(pte)))
            continue;
        *fault = (struct pte_fault){i, pte};
        return true;
    }
    return false;
}

int localise_page(const struct pte_rules *rules, unsigned level,
    uint64_t table[static PTES_PER_PAGE], struct pte_fault *fault)
{
    for (unsigned i = 0; i < PTES_PER_PAGE; i++) {
        uint64_t mfn;

        if (!pte_names_frame(&rules->marks, level, table[i]))
            continue;
        if (!rules->translate(rules->arg, pte_frame(table[i]), &mfn))
            return fail(fault, i, table[i], -ERANGE);
        table[i] = pte_with_frame(table[i], mfn);
    }
    return 0;
}

bool find_pte_beyond(const struct pte_marks *marks, unsigned level,
    const uint64_t table[static PTES_PER_PAGE], uint64_t frame_count, unsigned *index)
{
    for (unsigned i = 0; i < PTES_PER_PAGE; i++) {
        if (pte_names_frame(marks, level, table[i]) && pte_frame(table[i]) >= frame_count) {
            *index = i;
            return true;
        }
    }
    return false;
}
