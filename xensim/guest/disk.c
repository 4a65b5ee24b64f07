/* SPDX-License-Identifier: MIT */
#include "xensim/guest/disk.h"

#include "base/deadline.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPEN_REQUESTS = 3 };

struct ring_head {
    uint32_t req_prod, req_event, rsp_prod, rsp_event;
};

static struct ring_head *ring_of(const struct guest *g, uint64_t page)
{
    return guest_page(g, g->kernel->rings.first + page);
}

static bool grant(struct guest *g, uint64_t page)
{
    struct domain *d = g->domain;
    const uint64_t index = g->kernel->rings.first + page, ref = GUEST_FIRST_RING_REF + page;
    const uint64_t per_frame = PAGE_BYTES / sizeof(grant_entry_v1_t);
    uint64_t mfn;

    pthread_mutex_lock(&d->lock);

    const int rc = domain_grant_frame(d, ref / per_frame, &mfn);

    if (!rc) {
        grant_entry_v1_t *entry = (grant_entry_v1_t *)frame_ptr(d->machine, mfn) + ref % per_frame;

        entry->domid = 0;
        entry->frame = (uint32_t)(d->hvm ? guest_pfn(g->kernel, index) : g->mfns[index]);
        entry->flags = GTF_permit_access;
    }
    pthread_mutex_unlock(&d->lock);
    return !rc;
}

void guest_connect_disks(struct guest *g)
{
    for (uint64_t i = 0; i < g->kernel->rings.count; i++) {
        *ring_of(g, i) = (struct ring_head){0};
        guest_touch(g, g->kernel->rings.first + i);
        if (!grant(g, i))
            guest_fault(g, "no memory for a grant table");
    }
}

void guest_use_disk(struct guest *g)
{
    struct guest_kernel *k = g->kernel;
    char path[512];
    uint64_t found = 0, next = k->disk_version + 1;
    const int fd = g->domain->host->ops->disk_path(g->domain, path, sizeof(path))
                       ? open(path, O_RDWR | O_CLOEXEC)
                       : -1;

    if (fd < 0) {
        guest_fault(g, "it has no disk");
    } else if (pread(fd, &found, sizeof(found), 0) < 0 || found != k->disk_version) {
        guest_fault(g, "its disk holds version %llu, and it wrote %llu", (unsigned long long)found,
            (unsigned long long)k->disk_version);
    } else if (pwrite(fd, &next, sizeof(next), 0) == sizeof(next)) {
        k->disk_version = next;
        guest_touch(g, INDEX_KERNEL);
    }
    if (fd >= 0)
        close(fd);
}

/* The backends of a suspended guest. */
struct backends {
    struct domain *d;
    uint32_t *mfns; /* of the rings */
    uint64_t count;
    int64_t at_ns;
};

/* The pages are still the guest's: d->lock keeps them from being freed. */
static void answer(const struct backends *b)
{
    struct machine *m = b->d->machine;

    pthread_mutex_lock(&b->d->lock);
    for (uint64_t i = 0; i < b->count && !b->d->dying; i++) {
        struct ring_head *ring = frame_ptr(m, b->mfns[i]);

        __atomic_store_n(&ring->rsp_prod, ring->req_prod, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&b->d->lock);
}

static void *backends_main(void *arg)
{
    struct backends *b = arg;

    while (!deadline_passed(b->at_ns) && !b->d->dying)
        sleep_until_ns(deadline_earlier(b->at_ns, deadline_in(5 * NS_PER_MS)));
    answer(b);
    domain_put(b->d);
    free(b->mfns);
    free(b);
    return NULL;
}

static void start_backends(struct guest *g)
{
    const struct guest_kernel *k = g->kernel;
    struct backends *b = calloc(1, sizeof(*b));
    pthread_t thread;

    if (b)
        b->mfns = calloc(k->rings.count, sizeof(*b->mfns));
    if (!b || !b->mfns) {
        free(b);
        guest_fault(g, "no memory for backends");
        return;
    }
    b->d = domain_hold(g->domain);
    b->count = k->rings.count;
    b->at_ns = deadline_in(k->disk_delay_ns);
    for (uint64_t i = 0; i < b->count; i++)
        b->mfns[i] = g->mfns[k->rings.first + i];
    if (!pthread_create(&thread, NULL, backends_main, b))
        pthread_detach(thread);
}

void guest_leave_requests(struct guest *g)
{
    const struct guest_kernel *k = g->kernel;

    if (!k->rings.count || !k->disk_delay_ns)
        return;
    for (uint64_t i = 0; i < k->rings.count; i++) {
        ring_of(g, i)->req_prod += OPEN_REQUESTS;
        guest_touch(g, k->rings.first + i);
    }
    if (k->disk_delay_ns != GUEST_DISK_NEVER)
        start_backends(g);
}
