/* SPDX-License-Identifier: MIT */
/*
 * Domains: what Xen keeps of a guest. Memory (p2m, page counts), vCPU contexts, log-dirty, event
 * channels and grant frames as far as save and restore need them, and the two things every
 * toolstack operation turns on: pausing, and the shutdown state.
 *
 * Locks, in the order they may be taken:
 *   host->domctl_lock   one domctl or sysctl at a time, as in Xen
 *   host->domains_lock  the table of domains (rwlock)
 *   domain->lock        memory, types, log-dirty state, contexts
 *   machine->heap_lock
 * domain_pause() waits until every vCPU is between two guest operations, and a vCPU may need
 * domain->lock to get there: never call it with a domain's lock held.
 */
#ifndef XENSIM_HYPERVISOR_DOMAIN_H
#define XENSIM_HYPERVISOR_DOMAIN_H

#include "xensim/hypervisor/host.h"
#include "xensim/hypervisor/logdirty.h"
#include "xensim/hypervisor/policy.h"
#include "xensim/xen.h"

enum {
    MAX_VCPUS = 64,
    MAX_EVTCHNS = 256,
    MAX_GRANT_FRAMES = 64,
    XSAVE_BYTES = 16 + 576, /* xcr0, xcr0_accum, the legacy area and the header */
    MAX_MSRS = 7,
    HVM_LAPIC_REGS_BYTES = 1024,
};

#define EXTENT_SCATTERED UINT32_MAX

struct vcpu {
    struct domain *domain;
    unsigned id;
    bool initialised;
    bool online;
    vcpu_guest_context_any_t pv; /* PV guests: the whole context */
    struct hvm_hw_cpu hvm;       /* HVM guests: the CPU record */
    uint8_t lapic_regs[HVM_LAPIC_REGS_BYTES];
    struct hvm_hw_lapic lapic;
    struct hvm_hw_mtrr mtrr;
    struct xen_domctl_ext_vcpucontext ext;
    uint8_t xsave[XSAVE_BYTES];
    uint32_t xsave_bytes;
    struct xen_domctl_vcpu_msr msrs[MAX_MSRS];
    uint32_t nr_msrs;

    /* The thread that plays this CPU; in_guest is 1 while it is inside one guest operation. */
    pthread_t thread;
    bool thread_started;
    _Atomic uint32_t in_guest;
    _Atomic uint64_t cpu_time_ns;
};

struct evtchn {
    enum { EVTCHN_FREE, EVTCHN_UNBOUND, EVTCHN_INTERDOMAIN } state;
    uint16_t remote;
};

struct domain {
    struct host *host;
    struct machine *machine;
    uint16_t id;
    _Atomic uint32_t refs;
    bool hvm, hap, pv32;
    bool emulated; /* HVM in the narrow sense: it has a device model */
    _Atomic bool dying;
    bool creation_finished;
    xen_domain_handle_t handle;
    struct xen_arch_domainconfig arch_config;
    char name[NAME_BYTES];
    char *config_json; /* what libxl would keep of the domain; NULL if nobody set it */

    pthread_mutex_t lock;
    _Atomic uint64_t max_pages, tot_pages; /* written with the lock, read by anybody */
    uint64_t claimed_pages;                /* of the heap's, kept for this domain */
    uint32_t *p2m;                         /* HVM: gfn -> MFN, 0 for none; sparse */
    uint32_t *extent_first; /* pfn / 512 -> first MFN of the chunk promised to it, 0 for none yet,
                               EXTENT_SCATTERED if it is to have none */
    uint64_t max_gpfn;      /* highest guest frame ever populated (HVM) */
    bool any_gpfn;
    uint64_t paging_pool_bytes;
    uint64_t pod_entries; /* populate-on-demand, as tests say */
    uint64_t shared_info_mfn;
    /* Where the toolstack was told that the rings are: GFNs, MFNs of a PV guest; 0: not yet. */
    uint64_t store_gfn, console_gfn;
    uint64_t grant_mfns[MAX_GRANT_FRAMES];
    unsigned max_grant_frames;
    struct logdirty logdirty;
    struct tmem *tmem; /* NULL: none; set before the guest runs */
    void *emulator;    /* the device model, once it was started; opaque here (host_ops) */

    unsigned max_vcpus;
    unsigned offline_vcpus; /* so many of the last ones are not to be used, as xenstore says */
    struct vcpu *vcpus[MAX_VCPUS];
    uint64_t hvm_params[HVM_NR_PARAMS];
    struct evtchn evtchns[MAX_EVTCHNS];
    uint32_t tsc_mode, tsc_khz, tsc_incarnation;
    uint64_t tsc_elapsed_ns;
    struct cpu_policy policy;
    uint16_t sched_weight, sched_cap;

    /* Pausing. pause_count > 0 keeps every vCPU out of the guest; controller_pauses of these belong
     * to toolstacks, and shutdown is one more. */
    _Atomic uint32_t pause_count;
    _Atomic uint32_t controller_pauses;
    _Atomic bool is_shut_down;
    _Atomic unsigned shutdown_code;
    _Atomic bool stopping; /* vCPU threads leave for good */

    /* Guards guest and config_json, and changes of is_shut_down and controller_pauses. vCPUs take
     * it inside the guest, so never domain_pause() with it held. */
    pthread_mutex_t guest_lock;
    void *guest; /* the program that runs inside, once it runs; opaque here (host_ops) */
};

int domain_create(
    struct host *h, uint16_t want_id, const struct xen_domctl_createdomain *c, struct domain **out);

/* A reference, or NULL. Each domain_get and domain_hold needs a domain_put. */
struct domain *domain_get(struct host *h, uint16_t id);
void domain_put(struct domain *d);

/* One more, for a caller that has one. */
static inline struct domain *domain_hold(struct domain *d)
{
    atomic_fetch_add(&d->refs, 1);
    return d;
}

/* Stop its vCPUs, take it out of the table, free its memory. */
int domain_destroy(struct domain *d);
void domain_destroy_all(struct host *h);

int domain_set_max_vcpus(struct domain *d, unsigned max);

void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);
/* From a toolstack: counted apart, so that one unpause too many is refused. The first unpause also
 * starts the vCPUs of a domain whose contexts are set. */
void domain_pause_by_controller(struct domain *d);
int domain_unpause_by_controller(struct domain *d);
/* The guest, or a toolstack for it, shuts the domain down: nobody runs until it is resumed. */
void domain_shutdown(struct domain *d, unsigned code);
int domain_resume(struct domain *d);

/* The scheduler's cap: percent of one CPU for all vCPUs together; 0: none. From any thread. */
static inline uint16_t domain_cap(const struct domain *d)
{
    return __atomic_load_n(&d->sched_cap, __ATOMIC_RELAXED);
}

static inline void domain_set_cap(struct domain *d, uint16_t cap)
{
    __atomic_store_n(&d->sched_cap, cap, __ATOMIC_RELAXED);
}

/* A vCPU thread's way in and out of one guest operation. vcpu_enter returns false when the
 * thread must end. */
bool vcpu_enter(struct vcpu *v);
void vcpu_leave(struct vcpu *v);

/* The frame behind a guest frame number as a toolstack names it: gfn for HVM, MFN for PV.
 * 0 if there is none or it is somebody else's. d->lock held. */
uint64_t domain_gfn_to_mfn(struct domain *d, uint64_t gfn);

/* An extra frame that Xen shares with the domain; not part of its memory. d->lock held. */
uint64_t domain_alloc_special(struct domain *d);

/* A frame of its grant table, made when it is first asked for. Caller holds d->lock. 0 or -errno.
 */
int domain_grant_frame(struct domain *d, uint64_t i, uint64_t *mfn);

/* Log-dirty, from any thread and without a lock. */
static inline void domain_mark_dirty(struct domain *d, uint64_t pfn)
{
    logdirty_mark(&d->logdirty, pfn);
}

static inline void domain_mark_mfn_dirty(struct domain *d, uint64_t mfn)
{
    if (atomic_load_explicit(&d->logdirty.enabled, memory_order_relaxed))
        logdirty_mark_enabled(&d->logdirty, m2p_get(d->machine, mfn));
}

#endif
