/* SPDX-License-Identifier: MIT */
#include "xensim/guest/run.h"
#include "xensim/guest/balloon.h"
#include "xensim/guest/emulator.h"
#include "xensim/guest/disk.h"
#include "xensim/guest/pagetables.h"
#include "xensim/guest/pools.h"
#include "xensim/hypervisor/vcpu.h"

#include "base/deadline.h"

#include <errno.h>
#include <time.h>

enum { SLICE_NS = 5 * 1000 * 1000, CAP_PERIOD_NS = 50 * 1000 * 1000 };

/* A guest that runs: domain->guest. */
struct run {
    struct guest g;
    _Atomic uint64_t shutdown_node; /* struct shutdown_node, folded */
    _Atomic int64_t suspend_at_ns;  /* a slow guest suspends no earlier */
    bool acknowledged;              /* vCPU 0's: it will suspend */
    _Atomic bool resuming;          /* vCPU 0 has work to do before any other runs */
    bool suspended_here;            /* the suspend was in this domain: not in a restored guest's */

    pthread_mutex_t lock; /* stop-machine: parked, want_park */
    pthread_cond_t cond;
    unsigned parked;
    _Atomic bool want_park;
};

/* Set from outside while the guest runs. */
static int64_t write_rate(const struct guest_kernel *k)
{
    return __atomic_load_n(&k->pages_per_s, __ATOMIC_RELAXED);
}

/* Write one page: its version, its content, and its dirty bits. */
static void write_page(struct guest *g, unsigned cpu, uint64_t index)
{
    struct guest_kernel *k = g->kernel;
    uint32_t *version = guest_version(g, index);

    if (*version & VERSION_BALLOONED)
        return;

    void *page = guest_page(g, index);

    /* A check costs as much as a write: every page at modest rates, one in 16 at full speed. */
    if (write_rate(k) >= 0 || (k->cpus[cpu].writes & 15) == 0) {
        k->cpus[cpu].checks++;
        if (!content_matches(page, &k->mix, k->seed, index, *version))
            guest_fault(g, "page %#llx (pfn %#llx) is not what version %u of it was",
                (unsigned long long)index, (unsigned long long)guest_pfn(k, index), *version);
    }
    content_fill(page, &k->mix, k->seed, index, *version + 1);
    (*version)++;
    __atomic_fetch_add(&k->cpus[cpu].writes, 1, __ATOMIC_RELAXED); /* counted from outside */
    guest_touch(g, index);
    guest_touch(g, k->table.first + index / 1024);
    guest_touch(g, INDEX_KERNEL);
}

static uint64_t next_index(struct guest *g, unsigned cpu)
{
    struct guest_kernel *k = g->kernel;
    struct guest_region s = guest_slice(k, cpu);
    uint64_t r = guest_random(k, cpu);

    switch (k->pattern) {
    case PATTERN_HOT:
        /* Nine writes in ten go to a tenth of the pages. */
        if (r % 10)
            return s.first + (r >> 8) % (s.count / 10 + 1);
        return s.first + (r >> 8) % s.count;
    case PATTERN_SEQUENTIAL:
        return s.first + k->cpus[cpu].position++ % s.count;
    case PATTERN_FILE: {
        uint64_t at = k->cpus[cpu].position++ % k->trace_length;
        const uint64_t *slot = (const uint64_t *)guest_page(g, k->trace.first + at / 512);

        if (slot[at % 512] == TRACE_NO_WRITE)
            return TRACE_NO_WRITE;
        return s.first + slot[at % 512] % s.count;
    }
    default:
        return s.first + r % s.count;
    }
}

/* Read again what the device model wrote, whenever that was. */
static void check_ring(struct guest *g, unsigned cpu)
{
    const struct guest_kernel *k = g->kernel;
    struct domain *d = g->domain;
    const uint64_t slot = guest_random(g->kernel, cpu) % k->dma.count, index = k->dma.first + slot;

    pthread_mutex_lock(&d->lock);

    const struct emulator *emulator = d->emulator;
    const uint32_t version = emulator ? emulator_version(&emulator->state, slot) : 0;

    if (emulator && !content_matches(guest_page(g, index), &k->mix, k->seed, index, version))
        guest_fault(g, "page %#llx of the device's ring is not what version %u of it was",
            (unsigned long long)slot, version);
    pthread_mutex_unlock(&d->lock);
}

/* Suspend: park the other vCPUs, prepare what the toolstack expects, and stop. What follows the
 * hypercall runs in after_suspend(), here or on another host. */
static void park(struct run *r)
{
    pthread_mutex_lock(&r->lock);
    r->parked++;
    pthread_cond_broadcast(&r->cond);
    /* domain->stopping is set without this lock or a broadcast, so check it now and then. */
    while (atomic_load(&r->want_park) && !atomic_load(&r->g.domain->stopping))
        deadline_cond_wait(&r->cond, &r->lock, deadline_in(10 * NS_PER_MS));
    r->parked--;
    pthread_mutex_unlock(&r->lock);
}

static bool all_parked(struct run *r)
{
    pthread_mutex_lock(&r->lock);

    bool all = r->parked == r->g.kernel->nr_vcpus - 1;

    pthread_mutex_unlock(&r->lock);
    return all;
}

static void release_parked(struct run *r)
{
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->want_park, false);
    pthread_cond_broadcast(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

/* The two rings' frames: the tools want pfns in a suspended PV guest, MFNs in a running one. */
static void start_info_frames(struct guest *g, bool as_pfn)
{
    start_info_any_t *s = guest_page(g, INDEX_START_INFO);
    uint64_t store = as_pfn ? INDEX_STORE : g->mfns[INDEX_STORE];
    uint64_t console = as_pfn ? INDEX_CONSOLE : g->mfns[INDEX_CONSOLE];

    if (g->domain->pv32) {
        s->x32.store_mfn = (uint32_t)store;
        s->x32.console.domU.mfn = (uint32_t)console;
    } else {
        s->x64.store_mfn = store;
        s->x64.console.domU.mfn = console;
    }
    guest_touch(g, INDEX_START_INFO);
}

/* On vCPU 0, with all others parked. */
static void suspend(struct run *r)
{
    struct guest *g = &r->g;
    struct domain *d = g->domain;
    struct guest_kernel *k = g->kernel;
    uint64_t sum = guest_sum(k);

    r->acknowledged = false;
    k->suspends++;
    guest_leave_requests(g);
    guest_touch(g, INDEX_KERNEL);
    if (!d->hvm) {
        guest_unmap_foreign(g);
        start_info_frames(g, true);
    }
    for (unsigned i = 0; i < k->nr_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];

        vcpu_reg_set(v, REG_SI, sum & 0xffffffff);
        vcpu_reg_set(v, REG_DI, sum >> 32);
        vcpu_reg_set(v, REG_CX, guest_pfn(k, INDEX_KERNEL));
    }
    if (!d->hvm)
        vcpu_reg_set(d->vcpus[0], REG_DX, g->mfns[INDEX_START_INFO]);
    vcpu_reg_set(d->vcpus[0], REG_AX, 0);
    vcpu_reg_set(d->vcpus[0], REG_IP, GUEST_IP_SUSPEND);
    r->suspended_here = true;
    atomic_store(&r->resuming, true);
    domain_shutdown(d, SHUTDOWN_suspend);
}

/* PV, in a new domain: start_info names the new shared info and rings. */
static bool start_info_is_sound(struct guest *g)
{
    struct domain *d = g->domain;
    const start_info_any_t *s = guest_page(g, INDEX_START_INFO);
    uint64_t shared = d->pv32 ? s->x32.shared_info : s->x64.shared_info;
    uint64_t store = d->pv32 ? s->x32.store_mfn : s->x64.store_mfn;
    uint64_t console = d->pv32 ? s->x32.console.domU.mfn : s->x64.console.domU.mfn;
    uint64_t nr_pages = d->pv32 ? s->x32.nr_pages : s->x64.nr_pages;

    if (shared != (d->pv32 ? (uint32_t)(d->shared_info_mfn << 12) : d->shared_info_mfn << 12))
        guest_fault(g, "start_info: shared info is at %#llx", (unsigned long long)shared);
    else if (store != g->mfns[INDEX_STORE] || console != g->mfns[INDEX_CONSOLE])
        guest_fault(g, "start_info: rings at mfn %#llx and %#llx, not %#x and %#x",
            (unsigned long long)store, (unsigned long long)console, g->mfns[INDEX_STORE],
            g->mfns[INDEX_CONSOLE]);
    else if (nr_pages != g->kernel->nr_pages)
        guest_fault(g, "start_info: %llu pages, not %llu", (unsigned long long)nr_pages,
            (unsigned long long)g->kernel->nr_pages);
    else
        return true;
    return false;
}

/* The suspend hypercall returned 1 (cancelled: all is as it was) or 0 (this is a new domain). 0 in
 * the old domain is what Linux does not survive either. */
static void after_suspend(struct run *r)
{
    struct guest *g = &r->g;
    struct domain *d = g->domain;
    struct guest_kernel *k = g->kernel;
    struct vcpu *v = d->vcpus[0];
    bool cancelled = vcpu_reg_get(v, REG_AX) == 1;

    vcpu_reg_set(v, REG_IP, GUEST_IP_RUNNING);
    if (cancelled && k->suspend_cancel == CANCEL_NO) {
        guest_fault(g, "its suspend call returned 1, which its kernel does not know");
        domain_shutdown(d, SHUTDOWN_crash);
        return;
    }
    if (cancelled) {
        k->cancels++;
        if (!d->hvm) {
            start_info_frames(g, false);
            guest_map_shared_info(g);
        }
    } else if (r->suspended_here) {
        guest_fault(g, "woken with a new world's return code in the old world");
        domain_shutdown(d, SHUTDOWN_crash);
        return;
    } else {
        k->resumes++;
        guest_connect_disks(g);
        if (d->hvm) {
            d->hvm_params[HVM_PARAM_CALLBACK_IRQ] = 2ull << 56 | 0xf3;
        } else if (start_info_is_sound(g)) {
            guest_publish_p2m(g);
            guest_map_shared_info(g);
        } else {
            domain_shutdown(d, SHUTDOWN_crash);
        }
    }
    guest_touch(g, INDEX_KERNEL);
    atomic_store(&r->resuming, false);
    release_parked(r);
}

static bool due(int64_t now, int64_t *next, unsigned per_s)
{
    if (!per_s || now < *next)
        return false;
    *next = now + NS_PER_S / per_s;
    return true;
}

/* The share of all vCPUs' time that the scheduler's cap leaves; 1 without a cap. */
static double capped_share(const struct guest *g)
{
    const unsigned cap = domain_cap(g->domain), whole = 100 * g->kernel->nr_vcpus;

    return cap && cap < whole ? (double)cap / whole : 1;
}

enum { RING_CHECKS_PER_S = 100, DISK_WRITES_PER_S = 50 };

struct pace {
    int64_t remap_ns, fork_ns, balloon_ns, ring_ns, disk_ns, pools_ns;
    int64_t write_ns; /* when the next page may be written */
};

/* One guest operation. A guest with a rate is charged, for each write, the CPU time that a write
 * takes at that rate, and a cap slows it down in proportion. One without a rate writes for its
 * share of each period. False when there is nothing to do now. */
static bool operate(struct guest *g, unsigned cpu, struct pace *p)
{
    struct guest_kernel *k = g->kernel;
    int64_t now = now_ns(), rate = write_rate(k), step_ns = 0;
    const double share = capped_share(g);

    if (due(now, &p->remap_ns, k->remaps_per_s / k->nr_vcpus))
        guest_remap(g, cpu);
    if (due(now, &p->fork_ns, k->forks_per_s / k->nr_vcpus))
        guest_fork(g, cpu);
    if (due(now, &p->balloon_ns, k->balloons_per_s / k->nr_vcpus))
        guest_balloon(g, cpu);
    if (k->dma.count && due(now, &p->ring_ns, RING_CHECKS_PER_S))
        check_ring(g, cpu);
    if (!cpu && k->versioned_disk && due(now, &p->disk_ns, DISK_WRITES_PER_S))
        guest_use_disk(g);
    if (!cpu && due(now, &p->pools_ns, k->tmem_per_s))
        guest_use_pools(g);
    if (k->pattern == PATTERN_IDLE || !rate)
        return false;
    if (rate > 0) {
        if (p->write_ns > now)
            return false;
        /* A vCPU that was held up catches up by no more than 100 ms. */
        if (p->write_ns < now - NS_PER_S / 10)
            p->write_ns = now - NS_PER_S / 10;
        step_ns = NS_PER_S * k->nr_vcpus / rate;
        p->write_ns += (int64_t)((double)step_ns / share);
    } else if ((double)(now % CAP_PERIOD_NS) >= share * CAP_PERIOD_NS) {
        return false;
    }

    const uint64_t index = next_index(g, cpu);

    if (index != TRACE_NO_WRITE) {
        write_page(g, cpu, index);
        atomic_fetch_add(&g->domain->vcpus[cpu]->cpu_time_ns, (uint64_t)step_ns);
    }
    return true;
}

static struct shutdown_node unfold(uint64_t folded)
{
    return (struct shutdown_node){.version = folded >> 1, .suspend = folded & 1};
}

/* What it becomes when somebody writes to it. */
static uint64_t written(uint64_t folded, bool suspend)
{
    return ((folded >> 1) + 1) << 1 | suspend;
}

/* On vCPU 0: as a driver of xenbus does, which reads the node and writes "" in one transaction.
 * From then on the suspend cannot be taken back. */
static void acknowledge_if_wanted(struct run *r)
{
    const struct guest_kernel *k = r->g.kernel;
    uint64_t now = atomic_load(&r->shutdown_node);

    if (!unfold(now).suspend || k->suspend_mode == SUSPEND_REFUSE)
        return;
    if (k->suspend_mode == SUSPEND_SLOW && now_ns() < atomic_load(&r->suspend_at_ns))
        return;
    r->acknowledged = atomic_compare_exchange_strong(&r->shutdown_node, &now, written(now, false));
}

/* On vCPU 0: suspend the guest if that was requested and is due. True if it was suspended. */
static bool suspend_if_wanted(struct run *r)
{
    if (!r->acknowledged)
        acknowledge_if_wanted(r);
    if (!r->acknowledged ||
        (r->g.kernel->suspend_mode == SUSPEND_LATE && now_ns() < atomic_load(&r->suspend_at_ns)))
        return false;
    atomic_store(&r->want_park, true);
    if (!all_parked(r))
        return false;
    suspend(r);
    return true;
}

static void sleep_ns(int64_t ns)
{
    struct timespec t = {.tv_nsec = ns};

    nanosleep(&t, NULL);
}

static void *vcpu_main(void *arg)
{
    struct vcpu *v = arg;
    struct run *r = v->domain->guest;
    struct guest *g = &r->g;
    int64_t start = now_ns();
    struct pace pace = {start, start, start, start, start, start, start};
    unsigned ops = 0;

    while (vcpu_enter(v)) {
        bool busy = false;

        if (v->id == 0 && atomic_load(&r->resuming))
            after_suspend(r);
        else if (v->id == 0 && suspend_if_wanted(r))
            ;
        else if (!atomic_load(&r->resuming) && !(v->id && atomic_load(&r->want_park)))
            busy = operate(g, v->id, &pace);
        vcpu_leave(v);
        if (v->id && atomic_load(&r->want_park))
            park(r);
        if (write_rate(g->kernel) < 0 && (!busy || !(++ops & 1023)))
            atomic_store(&v->cpu_time_ns, (uint64_t)thread_cpu_ns());
        if (!busy)
            sleep_ns(write_rate(g->kernel) > 1000 ? SLICE_NS / 10 : SLICE_NS);
    }
    return NULL;
}

/* One page without memory is enough. */
static bool log_missing(void *arg, uint64_t index)
{
    const struct guest *g = arg;

    host_log_rate(g->domain->host, "d%u: guest page %#llx (pfn %#llx) has no memory", g->domain->id,
        (unsigned long long)index, (unsigned long long)guest_pfn(g->kernel, index));
    return false;
}

static struct run *new_run(struct domain *d, struct guest_kernel *k)
{
    struct run *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->g.domain = d;
    r->g.kernel = k;
    r->g.mfns = calloc(k->nr_pages, sizeof(*r->g.mfns));
    pthread_mutex_init(&r->lock, NULL);
    deadline_cond_init(&r->cond);
    atomic_init(&r->resuming, vcpu_reg_get(d->vcpus[0], REG_IP) == GUEST_IP_SUSPEND);
    if (r->g.mfns)
        return r;
    guest_free(r);
    return NULL;
}

void guest_free(void *guest)
{
    struct run *r = guest;

    free(r->g.mfns);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->cond);
    free(r);
}

static void crash_at_start(struct domain *d, const char *why)
{
    host_log(d->host, "d%u: %s: the guest crashes", d->id, why);
    d->is_shut_down = true;
    d->shutdown_code = SHUTDOWN_crash;
    atomic_fetch_add(&d->pause_count, 1);
    host_notify(d->host);
}

void guest_start(struct domain *d)
{
    if (!d->vcpus[0] || !d->vcpus[0]->initialised || !d->tot_pages)
        return;

    struct guest_kernel *k = guest_find_kernel(d);

    if (!k || !k->nr_vcpus || k->nr_vcpus > d->max_vcpus) {
        crash_at_start(d, "no guest kernel where the registers say");
        return;
    }

    struct run *r = d->guest = new_run(d, k);

    if (!r || !guest_find_pages(&r->g, log_missing, &r->g)) {
        crash_at_start(d, "its memory is not whole");
        return;
    }
    if (!atomic_load(&r->resuming))
        guest_connect_disks(&r->g);
    for (unsigned i = 0; i < k->nr_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];

        if (!pthread_create(&v->thread, NULL, vcpu_main, v))
            v->thread_started = true;
    }
}

struct shutdown_node guest_shutdown_node(struct domain *d)
{
    struct shutdown_node node = {0};

    pthread_mutex_lock(&d->guest_lock);

    struct run *r = d->guest;

    if (r)
        node = unfold(atomic_load(&r->shutdown_node));
    pthread_mutex_unlock(&d->guest_lock);
    return node;
}

char guest_feature_suspend(struct domain *d)
{
    char feature = 0;

    pthread_mutex_lock(&d->guest_lock);

    const struct run *r = d->guest;

    if (r)
        feature = r->g.kernel->feature_suspend;
    pthread_mutex_unlock(&d->guest_lock);
    return feature;
}

int guest_write_shutdown_node(struct domain *d, bool suspend, const uint64_t *only_version)
{
    bool is_written = true;

    pthread_mutex_lock(&d->guest_lock);

    struct run *r = d->guest;

    if (r) {
        uint64_t now = atomic_load(&r->shutdown_node);

        if (suspend)
            atomic_store(&r->suspend_at_ns, deadline_in(r->g.kernel->suspend_delay_ns));
        do {
            is_written = !only_version || unfold(now).version == *only_version;
        } while (is_written &&
                 !atomic_compare_exchange_weak(&r->shutdown_node, &now, written(now, suspend)));
    }
    pthread_mutex_unlock(&d->guest_lock);
    return is_written ? 0 : -EAGAIN;
}

bool guest_withdraw_suspend(struct domain *d)
{
    struct shutdown_node node;

    do {
        node = guest_shutdown_node(d);
    } while (node.suspend && guest_write_shutdown_node(d, false, &node.version));
    return node.suspend;
}

uint64_t guest_memory_kib(struct domain *d)
{
    uint64_t kib = 0;

    pthread_mutex_lock(&d->guest_lock);

    const struct run *r = d->guest;

    if (r)
        kib = r->g.kernel->nr_pages * 4;
    pthread_mutex_unlock(&d->guest_lock);
    return kib;
}

uint64_t guest_writes(struct domain *d)
{
    uint64_t writes = 0;

    pthread_mutex_lock(&d->guest_lock);

    const struct run *r = d->guest;

    if (r)
        writes = guest_sum(r->g.kernel) - r->g.kernel->initial_sum;
    pthread_mutex_unlock(&d->guest_lock);
    return writes;
}

/* No need to pause: the vCPUs read it before each page. */
void guest_set_rate(struct domain *d, int64_t pages_per_s)
{
    pthread_mutex_lock(&d->guest_lock);

    struct run *r = d->guest;

    if (r) {
        __atomic_store_n(&r->g.kernel->pages_per_s, pages_per_s, __ATOMIC_RELAXED);
        guest_touch(&r->g, INDEX_KERNEL);
    }
    pthread_mutex_unlock(&d->guest_lock);
}
