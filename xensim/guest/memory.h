/*
 * A guest's view of its own memory: index -> pfn -> machine frame, as its processor would find
 * it (p2m of the hypervisor for PVH, its own P2M list for PV).
 */
#ifndef XENSIM_GUEST_MEMORY_H
#define XENSIM_GUEST_MEMORY_H

#include "xensim/guest/run.h"

enum {
    PVH_SPECIAL_PFN = 0xfeff8, /* eight pages: rings and the like */
    GUEST_XSAVE_HEAD = 32,     /* of the legacy area: control words, not registers */
};
#define MSR_TSC_AUX 0xC0000103u

struct guest {
    struct domain *domain;
    struct guest_kernel *kernel; /* in guest memory */
    uint32_t *mfns;              /* index -> MFN, 0 while ballooned out: the guest's TLB */
    _Atomic bool suspend_wanted;
    _Atomic bool resuming; /* vCPU 0 has work to do before anybody else runs */
    bool suspended_here;   /* this world saw the suspend; a restored guest's did not */
    pthread_mutex_t lock;  /* stop-machine: parked, want_park */
    pthread_cond_t cond;
    unsigned parked;
    _Atomic bool want_park;
    int64_t suspend_at_ns;
};

static inline unsigned guest_width(const struct domain *d)
{
    return d->pv32 ? 4 : 8;
}

uint64_t guest_pfn(const struct guest_kernel *k, uint64_t index);

/* Machine frame of an index as the processor finds it; 0 if there is none or it is not ours. */
uint64_t guest_lookup(struct domain *d, const struct guest_kernel *k, uint64_t index);

static inline void *guest_page(const struct guest *g, uint64_t index)
{
    return frame_ptr(g->domain->machine, g->mfns[index]);
}

/* The version of an index, in guest memory. */
static inline uint32_t *guest_version(const struct guest *g, uint64_t index)
{
    uint32_t *page = guest_page(g, g->kernel->table.first + index / 1024);

    return &page[index % 1024];
}

static inline void guest_touch(const struct guest *g, uint64_t index)
{
    domain_mark_dirty(g->domain, guest_pfn(g->kernel, index));
}

/* PV virtual addresses, the same for every guest of a width. */
uint64_t guest_direct_va(const struct domain *d);
uint64_t guest_direct_pages(const struct domain *d, uint64_t nr_pages);
uint64_t guest_p2m_va(const struct domain *d);
uint64_t guest_window_va(const struct domain *d);
uint64_t guest_user_va(void);

/* Walk page tables from root. Returns the entry at level 1, or 0; *table gets the MFN of the L1. */
uint64_t guest_walk(struct domain *d, uint64_t root_mfn, uint64_t va, uint64_t *table);
unsigned pt_index(uint64_t va, unsigned level);

/* The entry that the direct map must have for an index. */
uint64_t guest_direct_pte(const struct guest_kernel *k, uint64_t index, uint64_t mfn);

/* Tell the host's log, count it, and keep the first in the kernel page. */
void guest_fault(struct guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* PV: write what depends on machine frames into shared info and the P2M tree; after building and
 * after each resume. */
void guest_publish_p2m(struct guest *g);

/* guest_pt.c: what a running PV guest does to its page tables. */
void guest_remap(struct guest *g, unsigned cpu);
void guest_fork(struct guest *g, unsigned cpu);
/* A PV guest maps its shared info as long as it runs, and before a suspend lets go of every entry
 * that names a frame that is not its memory. */
void guest_map_shared_info(struct guest *g);
void guest_unmap_foreign(struct guest *g);
#define SHADOW_FOREIGN   (~0ull) /* in the shadow: the entry maps the shared info frame */
#define SHARED_INFO_SLOT (GUEST_NR_WINDOWS * 512 - 1)
/* Write the direct map's entry for an index. */
int guest_set_direct(struct guest *g, uint64_t index, uint64_t pte);
uint64_t guest_process_pte(const struct guest_kernel *k, unsigned process, unsigned entry);

/* guest_build.c: what a vCPU's state beside its memory and its registers holds from the first to
 * the last, another for each guest and vCPU: a new domain has nothing like it. */
struct guest_vcpu_marks {
    uint32_t word; /* PVH: TSC_AUX; PV: an MSR, an entry point */
    uint64_t area[(XSAVE_BYTES - 16 - 64 - GUEST_XSAVE_HEAD) /
                  8]; /* PV: extended registers; PVH: LAPIC */
};
void guest_vcpu_marks(uint64_t seed, unsigned cpu, struct guest_vcpu_marks *marks);

/* guest_balloon.c */
void guest_balloon(struct guest *g, unsigned cpu);

/* The slice of the data pages that a vCPU works in; the last quarter of it may be ballooned, the
 * rest may be mapped by windows and processes. */
struct guest_region guest_slice(const struct guest_kernel *k, unsigned cpu);
struct guest_region guest_stable_slice(const struct guest_kernel *k, unsigned cpu);
uint64_t guest_random(struct guest_kernel *k, unsigned cpu);

#endif
