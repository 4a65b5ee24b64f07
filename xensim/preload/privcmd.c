/* SPDX-License-Identifier: MIT */
#include "xensim/preload/privcmd.h"
#include "xensim/preload/mapping.h"
#include "xensim/preload/process.h"
#include "xensim/preload/real.h"
#include "xensim/xen.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* Up to MAX_MAP_PAGES at a time. c->lock is held. */
static int map_some(struct connection *c, uint16_t dom, uintptr_t address, int prot,
    const xen_pfn_t *gfns, int *errs, size_t count)
{
    struct proto_request req = {.op = OP_MAP, .arg = {dom, (prot & PROT_WRITE) != 0, count}};
    struct proto_reply reply;
    uint64_t *mfns = (uint64_t *)c->window;
    int rc;

    memcpy(mfns, gfns, count * sizeof(*mfns));
    rc = process_ask(c->sock, &req, &reply, NULL, 0);
    if (rc)
        return rc;
    if (reply.result == -ESRCH) { /* no such domain: Linux reports it page by page */
        for (size_t i = 0; i < count; i++)
            errs[i] = -ESRCH;
        return 0;
    }
    if (reply.result < 0)
        return (int)reply.result;
    if (reply.result)
        memcpy(errs, c->window + WINDOW_ERRORS, count * sizeof(*errs));
    else
        memset(errs, 0, count * sizeof(*errs));
    return mapping_keep(address, (uint32_t)reply.value, mfns, count, prot);
}

static int ioctl_mmapbatch(struct connection *c, const privcmd_mmapbatch_v2_t *b)
{
    int prot;
    int rc = mapping_prot(b->addr, (size_t)b->num * PAGE, &prot);

    pthread_mutex_lock(&c->lock);
    for (size_t done = 0; !rc && done < b->num;) {
        size_t n = b->num - done < MAX_MAP_PAGES ? b->num - done : MAX_MAP_PAGES;

        rc = map_some(c, b->dom, b->addr + done * PAGE, prot, b->arr + done, b->err + done, n);
        done += n;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static int ioctl_resource(struct connection *c, privcmd_mmap_resource_t *m)
{
    struct proto_request req = {
        .op = OP_MAP_RESOURCE, .arg = {m->dom, m->type, m->id, m->idx, m->addr ? m->num : 0}};
    struct proto_reply reply;
    int prot = PROT_NONE, rc = 0;

    if (m->addr)
        rc = mapping_prot(m->addr, m->num * PAGE, &prot);
    if (rc)
        return rc;
    pthread_mutex_lock(&c->lock);
    rc = process_ask(c->sock, &req, &reply, NULL, 0);
    if (!rc && reply.result < 0)
        rc = (int)reply.result;
    else if (!rc && !m->addr)
        m->num = (uint64_t)reply.result;
    else if (!rc)
        rc = mapping_keep(m->addr, (uint32_t)reply.value, (uint64_t *)c->window, m->num, prot);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static long ioctl_hypercall(struct connection *c, const privcmd_hypercall_t *h)
{
    struct proto_request req = {
        .op = OP_HYPERCALL, .arg = {h->op, h->arg[0], h->arg[1], h->arg[2], h->arg[3], h->arg[4]}};
    struct proto_reply reply;
    int rc;

    pthread_mutex_lock(&c->lock);
    rc = process_ask(c->sock, &req, &reply, NULL, 0);
    pthread_mutex_unlock(&c->lock);
    return rc ? rc : reply.result;
}

/* Answered as by the driver; the host's log names it. */
static int ioctl_unknown(struct connection *c, unsigned long request)
{
    struct proto_request req = {.op = OP_UNKNOWN_IOCTL, .arg = {_IOC_NR(request)}};
    struct proto_reply reply;
    int rc;

    pthread_mutex_lock(&c->lock);
    rc = process_ask(c->sock, &req, &reply, NULL, 0);
    pthread_mutex_unlock(&c->lock);
    return rc ? rc : -ENOTTY;
}

int privcmd_ioctl(struct connection *c, unsigned long request, void *arg)
{
    long rc;

    switch (request) {
    case IOCTL_PRIVCMD_HYPERCALL:
        rc = ioctl_hypercall(c, arg);
        break;
    case IOCTL_PRIVCMD_MMAPBATCH_V2:
        rc = ioctl_mmapbatch(c, arg);
        break;
    case IOCTL_PRIVCMD_MMAP_RESOURCE:
        rc = ioctl_resource(c, arg);
        break;
    default:
        rc = ioctl_unknown(c, request);
    }
    if (rc < 0) {
        errno = (int)-rc;
        return -1;
    }
    return (int)rc;
}
