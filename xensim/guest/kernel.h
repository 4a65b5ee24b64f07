/* SPDX-License-Identifier: MIT */
/*
 * What stands in a guest's memory. Everything a guest is stands there and in its registers: struct
 * guest_kernel at the page that register CX names, and the tables it points to. So a guest that was
 * restored on another host starts from nothing but what came over, and finds out if something did
 * not.
 *
 * Pages are numbered by *index*, 0 to nr_pages-1; guest frame numbers (pfn) are indices with the
 * holes of the guest's physical map put in. Each data page has a 32-bit version; its content is
 * content_fill(seed, index, version). Registers SI and DI hold the sum of all versions at the
 * suspend, so that a page that is stale together with its table entry is found as well.
 *
 * A vCPU works in its own slice of the data pages and keeps its part of the kernel page; what they
 * share there is written atomically.
 */
#ifndef XENSIM_GUEST_KERNEL_H
#define XENSIM_GUEST_KERNEL_H

#include "xensim/guest/content.h"
#include "xensim/hypervisor/domain.h"

enum guest_type { GUEST_PVH, GUEST_PV64, GUEST_PV32, GUEST_HVM };
enum guest_pattern { PATTERN_IDLE, PATTERN_UNIFORM, PATTERN_HOT, PATTERN_SEQUENTIAL, PATTERN_FILE };
/* When it acknowledges a request to suspend, and when it suspends: both at once, neither ever, both
 * later, or the suspend alone later. */
enum suspend_mode { SUSPEND_NORMAL, SUSPEND_REFUSE, SUSPEND_SLOW, SUSPEND_LATE };
enum p2m_layout { P2M_LIST, P2M_TREE };
/* What its notes say of a suspend call that returns 1. Without the note it crashes then; without
 * any notes it goes on. */
enum suspend_cancel { CANCEL_YES, CANCEL_NO, CANCEL_NO_NOTES };

/* Fixed indices at the start of every guest. */
enum {
    INDEX_START_INFO,
    INDEX_STORE,
    INDEX_CONSOLE,
    INDEX_GDT,
    INDEX_KERNEL,
    INDEX_NOTES, /* of the kernel's image, across two pages (notes.h) */
    INDEX_FREE = INDEX_NOTES + 2
};

#define GUEST_MAGIC      0x5453455547534E58ull /* "XNSGUEST" */
#define GUEST_IP_RUNNING 0x1000u
#define GUEST_IP_SUSPEND 0x2000u /* inside the suspend hypercall: AX will be its result */

enum {
    GUEST_MAX_RANGES = 4,
    GUEST_NR_WINDOWS = 2, /* page tables whose entries change all the time */
    GUEST_NR_PROCESSES = 4,
    GUEST_PROCESS_TABLES = 4, /* root, two middle levels and a leaf; PAE uses three */
};

#define TRACE_NO_WRITE    UINT64_MAX /* in a trace: a step without a write */
#define VERSION_BALLOONED 0x80000000u

struct guest_range {
    uint64_t first_pfn, count;
};

/* A run of indices used for one purpose. */
struct guest_region {
    uint64_t first, count;
};

struct guest_cpu {
    uint64_t rng;
    uint64_t position; /* of the sequential pattern and the trace */
    uint64_t writes;   /* sum of the version steps this vCPU made */
    uint64_t checks;
};

/* The page from which a guest finds everything else in its memory. */
struct guest_kernel {
    uint64_t magic;
    uint64_t seed;
    uint32_t type, nr_vcpus, pattern, layout;
    uint64_t nr_pages;
    struct guest_range ranges[GUEST_MAX_RANGES];
    struct content_mix mix;
    uint8_t suspend_mode;
    char feature_suspend;   /* what it writes to xenstore: '1', '0', or nothing */
    uint8_t suspend_cancel; /* enum suspend_cancel */
    uint8_t pad[2];
    /* An entry of the windows with (entry & mask) == value names a frame, though it is not present;
     * mask 0: there are none. Both lie in the low 12 bits. */
    uint16_t mark_mask, mark_value;
    uint8_t versioned_disk; /* it writes to its first disk how often it has, and reads that again */
    uint8_t pad2[3];
    uint64_t disk_version;
    int64_t pages_per_s;
    int64_t suspend_delay_ns;
    /* What backends take to answer a guest that suspends; 0: they have answered everything. */
    int64_t disk_delay_ns;
    uint32_t remaps_per_s, forks_per_s, balloons_per_s, nr_faults;
    uint32_t tmem_per_s, pad3;
    struct guest_region table; /* versions, 1024 a page */
    struct guest_region trace; /* indices, 512 a page */
    uint64_t trace_length;
    struct guest_region p2m;     /* PV: the leaves */
    struct guest_region p2m_mid; /* PV, tree: the list of lists and its lists */
    struct guest_region tables;  /* PV: page tables, the root first */
    struct guest_region shadow;  /* PV: what the window tables should hold */
    struct guest_region pool;    /* PV: pages that are page tables now and then */
    struct guest_region tmem;    /* versions of what it put into its pools, 1024 a page */
    uint64_t tmem_pages[2];      /* slots of its ephemeral and its persistent pool */
    struct guest_region rings;   /* two pages for each disk (disk.h) */
    struct guest_region data;
    struct guest_region dma;   /* HVM: what the device model writes to, and nobody else */
    uint64_t user_root;        /* PV64: index of the second root; 0 if none */
    uint64_t user_pages_first; /* what it maps */
    uint64_t window_tables[GUEST_NR_WINDOWS];
    uint32_t process_pinned[GUEST_NR_PROCESSES];
    uint64_t process_maps[GUEST_NR_PROCESSES]; /* first index that its leaf maps */
    uint64_t initial_sum;                      /* sum of versions when it was made */
    uint64_t suspends, cancels, resumes;
    struct guest_cpu cpus[MAX_VCPUS];
    char fault[192]; /* the first thing the guest found wrong in its memory */
};
_Static_assert(sizeof(struct guest_kernel) <= PAGE_BYTES, "the kernel is one page");

/* All ones for an index that the guest does not have. */
uint64_t guest_pfn(const struct guest_kernel *k, uint64_t index);

static inline bool guest_in_region(const struct guest_region *r, uint64_t index)
{
    return index >= r->first && index < r->first + r->count;
}

static inline bool guest_pte_is_marked(const struct guest_kernel *k, uint64_t pte)
{
    return k->mark_mask && (pte & k->mark_mask) == k->mark_value;
}

/* The slice of the data pages that a vCPU works in; the last quarter of it may be ballooned, the
 * rest, the stable slice, may be mapped by windows and processes. */
struct guest_region guest_slice(const struct guest_kernel *k, unsigned cpu);
struct guest_region guest_stable_slice(const struct guest_kernel *k, unsigned cpu);

/* The next number of a vCPU's generator. */
uint64_t guest_random(struct guest_kernel *k, unsigned cpu);

/* The sum of all versions, as the kernel page has it. */
uint64_t guest_sum(const struct guest_kernel *k);

/* Marks in a vCPU's state beyond memory and general registers. They never change and differ between
 * guests and vCPUs; a fresh domain does not have them by chance. */
enum { GUEST_XSAVE_HEAD = 32 }; /* of the legacy area: control words, not registers */
struct guest_vcpu_marks {
    uint32_t word; /* PVH: TSC_AUX; PV: an MSR, an entry point */
    uint64_t area[(XSAVE_BYTES - 16 - 64 - GUEST_XSAVE_HEAD) /
                  8]; /* PV: extended registers; PVH: LAPIC */
};
#define MSR_TSC_AUX 0xC0000103u
void guest_vcpu_marks(uint64_t seed, unsigned cpu, struct guest_vcpu_marks *marks);

#endif
