/* SPDX-License-Identifier: MIT */
/*
 * Machine memory: one sparse file indexed by MFN, on a tmpfs that the host mounts for itself
 * with huge=always, mapped whole into the daemon and piece by piece into its clients.
 *
 * Ownership: every frame has one entry in frames[]. Free frames belong to the heap, whose lists
 * `heap_lock` guards; a frame handed out belongs to its owner, and its entry is guarded by the
 * owning domain's lock, map_refs until the last mapping is gone, too, which may be later.
 *
 * The top of memory is Xen's: the M2P (64-bit entries) and the compat M2P (32-bit), each in
 * 2 MiB chunks as XENMEM_machphys_mfn_list hands them out. MFN 0 is never used, so 0 can stand
 * for "no frame" in sparse tables.
 *
 * Machine memory is sparse: a host can have more of it than the machine that simulates has. Before
 * memory is touched that machine is asked what it has left, and some of that is left to it: a
 * host out of real memory answers as Xen without memory does, and nobody is killed for it.
 */
#ifndef XENSIM_HYPERVISOR_MACHINE_H
#define XENSIM_HYPERVISOR_MACHINE_H

#include "base/err.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES      4096ull
#define PAGES_PER_CHUNK 512ull
#define CHUNK_BYTES     (PAGE_BYTES * PAGES_PER_CHUNK)
#define M2P_INVALID     (~0ull)
#define POISON_BYTE     0xC2

/* The largest guest frame number a domain may use, and with it the size of the sparse tables. */
#define MAX_PFNS (1ull << 33)

enum { OWNER_FREE = 0x7FFE, OWNER_XEN = 0x7FF2, OWNER_LIMBO = 0x7FFD };

/* What Xen calls PGT_*; NONE until somebody takes a first typed reference. */
enum page_type { PT_NONE, PT_L1, PT_L2, PT_L3, PT_L4, PT_WRITABLE, PT_SEGDESC };

enum {
    FRAME_VALIDATED = 1, /* the table's entries hold their references */
    FRAME_PINNED = 2,
    FRAME_SPECIAL = 4,  /* shared info, grant table: no part of the guest's memory */
    FRAME_PAE_XEN = 8,  /* a PAE L2 that carries Xen's own entries */
    FRAME_POISONED = 16 /* content is POISON_BYTE already (preallocated hosts) */
};

struct frame {
    uint32_t type_refs;
    _Atomic uint16_t owner; /* other domains read it, only to see that it is not theirs */
    uint8_t type;
    uint8_t flags;
    uint32_t map_refs; /* mappings by clients, read-only ones too */
};

struct chunk {
    uint64_t used[8];
    uint64_t taken[8]; /* of a promise: slots that were handed out once, and are not again */
    uint16_t nr_used;
    bool reserved; /* promised to one extent of one domain */
    bool broken;   /* of a fragmented host: handed out frame by frame only */
};

struct machine {
    int fd;
    uint8_t *base;
    uint64_t nr_frames;
    struct frame *frames;
    uint64_t *m2p;
    uint32_t *compat_m2p;
    uint64_t m2p_mfn, compat_m2p_mfn;
    bool huge;
    bool prealloc;
    unsigned fragment_percent;
    char mount_dir[512]; /* empty if nothing was mounted */

    pthread_mutex_t heap_lock;
    struct chunk *chunks;
    uint64_t nr_chunks; /* chunks below Xen's */
    uint64_t *free_chunks;
    uint64_t nr_free_chunks;
    uint64_t free_frames;
    uint64_t claimed_frames; /* of these, kept for domains that have claimed them */
    uint64_t dom0_frames;    /* of these, dom0's, which is no domain here: only its balloon is */
    uint64_t cursor;         /* where the search for a single frame goes on */
    uint64_t real_credit;    /* bytes that may be touched before the real machine is asked again */
    uint64_t rng;
};

struct machine_params {
    uint64_t mem_bytes;
    uint64_t dom0_bytes;
    unsigned fragment_percent;
    bool prealloc;
    const char *dir; /* run directory: the tmpfs is mounted below it */
};

/* What the real machine can still give, without swap and what is left for others. */
uint64_t machine_real_bytes_free(void);

/* What it allocates lives as long as the process. */
int machine_init(
    struct machine *m, const struct machine_params *p, const struct log *log, struct err *e);

static inline void *frame_ptr(const struct machine *m, uint64_t mfn)
{
    return m->base + mfn * PAGE_BYTES;
}

static inline bool mfn_valid(const struct machine *m, uint64_t mfn)
{
    return mfn && mfn < m->nr_frames;
}

/* How many frames are free just now, claimed ones too. */
uint64_t heap_free_frames(struct machine *m);

/* Keep so many of the free frames for a domain; false if fewer are nobody's. What is taken of them,
 * or not needed after all, is given back. */
bool heap_claim(struct machine *m, uint64_t count);
void heap_unclaim(struct machine *m, uint64_t count);
uint64_t heap_claimed_frames(struct machine *m);

/* What dom0 has; 0: it has no balloon. */
uint64_t heap_dom0_frames(struct machine *m);

/* Dom0's balloon: false if it would have to shrink by more than is free. */
bool heap_set_dom0(struct machine *m, uint64_t frames);

/* Whether an extent is to come from broken chunks: on a host fragmented by N percent these are N
 * percent of the chunks, and N percent of the answers are yes. */
bool heap_scatters(struct machine *m);

/* One frame, poisoned, owned by owner, with no type and an invalid M2P entry; 0 if memory is out.
 * scatter: from anywhere in broken chunks. */
uint64_t heap_alloc_frame(struct machine *m, uint16_t owner, bool scatter);

/* 512 contiguous aligned frames; 0 if there is no such run. */
uint64_t heap_alloc_chunk(struct machine *m, uint16_t owner);

/* Promise a whole chunk to an extent, whose frames are then taken when they are wanted. Returns the
 * first MFN, or 0. heap_unreserve gives what was not taken back. */
uint64_t heap_reserve_chunk(struct machine *m);
/* Up to count frames of the chunk from mfn on, as heap_alloc_frame gives them. Returns how many:
 * fewer where one was taken before, or memory is out. */
uint64_t heap_take_reserved(struct machine *m, uint64_t mfn, uint64_t count, uint16_t owner);
void heap_unreserve_chunk(struct machine *m, uint64_t first_mfn);

/* Give a frame back. If a client still maps it, it lies in limbo until the last one lets go. */
void heap_free_frame(struct machine *m, uint64_t mfn);

/* Drop one client mapping reference; frees a frame in limbo with the last. */
void frame_put_map_ref(struct machine *m, uint64_t mfn);

static inline void m2p_set(struct machine *m, uint64_t mfn, uint64_t pfn)
{
    __atomic_store_n(&m->m2p[mfn], pfn, __ATOMIC_RELAXED);
    __atomic_store_n(&m->compat_m2p[mfn], (uint32_t)pfn, __ATOMIC_RELAXED);
}

static inline uint64_t m2p_get(const struct machine *m, uint64_t mfn)
{
    return __atomic_load_n(&m->m2p[mfn], __ATOMIC_RELAXED);
}

#endif
