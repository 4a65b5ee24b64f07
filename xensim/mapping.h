/* SPDX-License-Identifier: MIT */
/*
 * What one client process maps of its host's memory.
 *
 * A mapping holds a reference on every frame (map_refs) and, if it is writable and the domain is
 * PV, a typed reference as Xen's PGT_writable. The client lets go by setting its byte in
 * releases[]; a sweep acts on it. When the process goes, all its mappings go.
 *
 * Locks: mappings->lock guards the slots; it is taken after a domain's lock.
 */
#ifndef XENSIM_MAPPING_H
#define XENSIM_MAPPING_H

#include "xensim/hypervisor/domain.h"

struct mapping {
    struct domain *domain; /* a reference; NULL for a free slot and for Xen's own frames */
    uint32_t *mfns;        /* 0 where there is none; NULL if they are one run from first_mfn on */
    uint32_t first_mfn, nr_mfns;
    bool live;
    bool typed;
};

struct mappings {
    _Atomic uint8_t *releases; /* shared with the client, MAX_MAPPINGS long; the caller's */

    pthread_mutex_t lock;
    bool dead; /* the process is gone: no new ones */
    struct mapping *slots;
    uint32_t *free_slots;
    uint32_t nr_free_slots;
    uint32_t high_slot; /* one past the highest slot ever used */
};

/* 0 or -ENOMEM; mappings_free() in either case, once all are dropped. */
int mappings_init(struct mappings *m, _Atomic uint8_t *releases);
void mappings_free(struct mappings *m);

/* Drop what the client has let go of: of one domain, whose lock and a reference the caller holds
 * (NULL: Xen's own frames); or of all domains, with no domain's lock held. */
void mappings_sweep_domain(struct mappings *m, struct domain *d);
void mappings_sweep(struct mappings *m);

/* The process is gone: drop all, take no more. No domain's lock may be held. */
void mappings_end(struct mappings *m);

/* Pages to map. The client can write to the arrays at any time. */
struct map_request {
    uint64_t *gfns; /* become MFNs, 0 where there is none */
    int32_t *errs;  /* written once one page failed */
    uint32_t count, failed;
};

/* The slot, or a negative errno; -ENOSPC: no slot left. */
int64_t mappings_map_pages(
    struct mappings *m, struct host *h, uint16_t domid, bool writable, struct map_request *r);

/* Grant frames, made when they are first asked for; MFNs go to mfns. The slot, or a negative
 * errno. */
int64_t mappings_map_grants(
    struct mappings *m, struct domain *d, uint64_t first, uint64_t count, uint64_t *mfns);

#endif
