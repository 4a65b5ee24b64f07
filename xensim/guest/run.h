/*
 * Guests: programs that live in a domain's memory, run as threads of the daemon (one a vCPU), and
 * know what they wrote.
 *
 * Everything a guest is stands in its own memory and registers: struct guest_kernel at the page
 * that register CX names, and the tables it points to. So a guest that was restored on another
 * host starts from nothing but what came over, and finds out if something did not.
 *
 * Pages are numbered by *index*, 0 to nr_pages-1; guest frame numbers (pfn) are indices with the
 * holes of the guest's physical map put in. Each data page has a 32-bit version; its content is
 * content_fill(seed, index, version). Registers SI and DI hold the sum of all versions at the
 * suspend, so that a page that is stale together with its table entry is found as well.
 *
 * The unit of work is one guest operation between vcpu_enter() and vcpu_leave(): a page and its
 * version change together as far as any toolstack can see. A vCPU works in its own slice of the
 * data pages; only the kernel page and page-table pages are shared (page-table writes take
 * domain->lock, as hypercalls).
 */
#ifndef XENSIM_GUEST_RUN_H
#define XENSIM_GUEST_RUN_H

#include "xensim/guest/content.h"
#include "xensim/hypervisor/domain.h"

#include "base/err.h"

enum guest_type { GUEST_PVH, GUEST_PV64, GUEST_PV32 };
enum guest_pattern { PATTERN_IDLE, PATTERN_UNIFORM, PATTERN_HOT, PATTERN_SEQUENTIAL, PATTERN_FILE };
enum suspend_mode { SUSPEND_NORMAL, SUSPEND_REFUSE, SUSPEND_SLOW };
enum p2m_layout { P2M_LIST, P2M_TREE };

#define GUEST_MAGIC      0x5453455547534E58ull /* "XNSGUEST" */
#define GUEST_IP_RUNNING 0x1000u
#define GUEST_IP_SUSPEND 0x2000u /* inside the suspend hypercall: AX will be its result */

enum {
    GUEST_RATE_UNLIMITED = -1,
    GUEST_MAX_RANGES = 4,
    GUEST_NR_WINDOWS = 2, /* page tables whose entries change all the time */
    GUEST_NR_PROCESSES = 4,
    GUEST_PROCESS_TABLES = 4, /* root, two middle levels and a leaf; PAE uses three */
};

#define TRACE_NO_WRITE    UINT64_MAX /* in a trace: a step without a write */
#define VERSION_BALLOONED 0x80000000u

struct guest_params {
    enum guest_type type;
    uint64_t memory_bytes;
    uint64_t address_bytes; /* PVH: where the last memory lies; 0: no such memory */
    unsigned vcpus;
    int64_t pages_per_s;
    enum guest_pattern pattern;
    struct content_mix mix;
    enum p2m_layout layout;
    unsigned remaps_per_s;   /* page-table entries rewritten */
    unsigned forks_per_s;    /* page-table trees pinned or unpinned */
    unsigned balloons_per_s; /* pages given back or taken again */
    enum suspend_mode suspend_mode;
    int64_t suspend_delay_ns;
    uint64_t seed;
    char name[NAME_BYTES];
    char *trace; /* PATTERN_FILE: numbers, one a line */
};

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

/* The first page of guest memory that the guest finds: all its other pages hang from here. */
struct guest_kernel {
    uint64_t magic;
    uint64_t seed;
    uint32_t type, nr_vcpus, pattern, layout;
    uint64_t nr_pages;
    struct guest_range ranges[GUEST_MAX_RANGES];
    struct content_mix mix;
    uint8_t suspend_mode, pad[4];
    int64_t pages_per_s;
    int64_t suspend_delay_ns;
    uint32_t remaps_per_s, forks_per_s, balloons_per_s, nr_faults;
    struct guest_region table; /* versions, 1024 a page */
    struct guest_region trace; /* indices, 512 a page */
    uint64_t trace_length;
    struct guest_region p2m;     /* PV: the leaves */
    struct guest_region p2m_mid; /* PV, tree: the list of lists and its lists */
    struct guest_region tables;  /* PV: page tables, the root first */
    struct guest_region shadow;  /* PV: what the window tables should hold */
    struct guest_region pool;    /* PV: pages that become page tables and stop being so */
    struct guest_region data;
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

struct guest;

/* Build a guest in a domain that exists and has vCPUs, but no memory. */
int guest_build(struct domain *d, const struct guest_params *p, struct err *e);

/* Start the vCPU threads from the domain's contexts, if they hold a guest. A domain whose memory
 * is not what its guest wrote crashes here, with a line in the host's log. */
void guest_start(struct domain *d);
void guest_destroy(struct guest *g);

/* Ask it to suspend, as control/shutdown does, or take the wish back. Returns at once. */
void guest_request_suspend(struct domain *d);
void guest_withdraw_suspend(struct domain *d);

/* What the guest believes to have, in KiB; 0 if no guest runs. */
uint64_t guest_memory_kib(struct domain *d);

/* Pages written since it was made; 0 if no guest runs. */
uint64_t guest_writes(struct domain *d);

/* The sum of all versions, as the kernel page has it. */
uint64_t guest_sum(const struct guest_kernel *k);

/* Change the write rate and pattern of a running guest. */
void guest_set_rate(struct domain *d, int64_t pages_per_s);

/* What xensim verify proves; every problem found goes into the text, at most max_problems. */
struct verify_report {
    uint64_t pages, ballooned, tables, entries, problems;
    char *text; /* malloc'ed lines; may be NULL */
};

int guest_verify(struct domain *d, struct verify_report *report);

#endif
