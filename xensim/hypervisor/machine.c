/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/machine.h"
#include "xensim/hypervisor/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { M2P_BYTES = 8, COMPAT_M2P_BYTES = 4 };

/* What is left for others on the real machine, and how much may be touched before it is asked
 * again. A frame may take a whole huge page; both are counted, because it may also not. */
#define REAL_RESERVE_BYTES (256ull << 20)
#define REAL_STEP_BYTES    (64ull << 20)
#define REAL_LEAST_BYTES   (2 * CHUNK_BYTES)

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* A shared mapping of the file that huge pages can back: aligned to 2 MiB. */
static void *map_aligned(int fd, uint64_t bytes)
{
    uint8_t *raw = mmap(
        NULL, bytes + CHUNK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (raw == MAP_FAILED)
        return NULL;

    uint8_t *base = (uint8_t *)(((uintptr_t)raw + CHUNK_BYTES - 1) & ~(uintptr_t)(CHUNK_BYTES - 1));

    if (base > raw)
        munmap(raw, (size_t)(base - raw));
    munmap(base + bytes, (size_t)(raw + CHUNK_BYTES - base));
    if (mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) ==
        MAP_FAILED) {
        munmap(base, bytes);
        return NULL;
    }
    return base;
}

uint64_t machine_real_bytes_free(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    unsigned long long kib = UINT64_MAX >> 10;
    char line[128];

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);

    uint64_t bytes = kib << 10;

    return bytes > REAL_RESERVE_BYTES ? bytes - REAL_RESERVE_BYTES : 0;
}

/* What a host needs at once: its tables have an entry for each frame, and preallocated memory. */
static uint64_t bytes_needed(const struct machine_params *p)
{
    uint64_t frames = p->mem_bytes / PAGE_BYTES, chunks = p->mem_bytes / CHUNK_BYTES;
    uint64_t per_frame = M2P_BYTES + COMPAT_M2P_BYTES;
    uint64_t tables = frames * sizeof(struct frame) + chunks * sizeof(uint64_t);

    /* The M2P lies in machine memory itself. */
    return tables + (p->prealloc ? p->mem_bytes : frames * per_frame);
}

static int open_memory_file(
    struct machine *m, const struct machine_params *p, const struct log *log, struct err *e)
{
    uint64_t bytes = m->nr_frames * PAGE_BYTES;
    char options[128];
    char path[600];

    snprintf(m->mount_dir, sizeof(m->mount_dir), "%s/mem", p->dir);
    if (mkdir(m->mount_dir, 0700) && errno != EEXIST)
        return err_sys(e, ERR_LOCAL, errno, "cannot make %s", m->mount_dir);
    snprintf(options, sizeof(options), "huge=always,mode=0700,size=%llu",
        (unsigned long long)(bytes + CHUNK_BYTES));
    if (mount("xensim", m->mount_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0) {
        m->huge = true;
        snprintf(path, sizeof(path), "%s/machine", m->mount_dir);
        m->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        /* Mappings keep the file alive; without a name and a mount nothing can be left over. */
        if (m->fd >= 0)
            umount2(m->mount_dir, MNT_DETACH);
    } else {
        log_warn(log,
            "cannot mount a tmpfs at %s (%s): machine memory uses 4 KiB pages, which makes "
            "mapping guest memory 2 to 4 times dearer; run as root for huge pages",
            m->mount_dir, strerror(errno));
        m->fd = memfd_create("xensim-machine", MFD_CLOEXEC);
    }
    rmdir(m->mount_dir);
    m->mount_dir[0] = '\0';
    if (m->fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot create the machine memory file");
    if (ftruncate(m->fd, (off_t)bytes))
        return err_sys(e, ERR_LOCAL, errno, "cannot size machine memory to %llu MiB",
            (unsigned long long)(bytes >> 20));
    return 0;
}

static uint64_t chunks_for(uint64_t bytes)
{
    return (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

static void own_xen_chunks(struct machine *m, uint64_t first_chunk, uint64_t count)
{
    for (uint64_t mfn = first_chunk * PAGES_PER_CHUNK;
         mfn < (first_chunk + count) * PAGES_PER_CHUNK; mfn++) {
        m->frames[mfn].owner = OWNER_XEN;
        m->frames[mfn].flags = FRAME_SPECIAL;
    }
}

/* Caller holds heap_lock. */
static bool by_chance(struct machine *m)
{
    return m->fragment_percent && next_random(&m->rng) % 100 < m->fragment_percent;
}

int machine_init(
    struct machine *m, const struct machine_params *p, const struct log *log, struct err *e)
{
    uint64_t nr_chunks = p->mem_bytes / CHUNK_BYTES;

    memset(m, 0, sizeof(*m));
    m->fd = -1;
    m->nr_frames = nr_chunks * PAGES_PER_CHUNK;
    m->prealloc = p->prealloc;
    m->fragment_percent = p->fragment_percent;
    m->rng = 0x9E3779B97F4A7C15ull;
    pthread_mutex_init(&m->heap_lock, NULL);

    /* Better to refuse now than have the kernel kill somebody when memory runs out. */
    uint64_t needed = bytes_needed(p), real = machine_real_bytes_free();

    if (needed > real)
        return err_set(e, ERR_REFUSED, ENOMEM,
            "a host of %llu MiB needs %llu MiB at once%s, this machine has %llu MiB to give",
            (unsigned long long)(p->mem_bytes >> 20), (unsigned long long)(needed >> 20),
            p->prealloc ? " with --prealloc" : " for its tables", (unsigned long long)(real >> 20));

    int rc = open_memory_file(m, p, log, e);

    if (rc)
        return rc;

    uint64_t m2p_chunks = chunks_for(m->nr_frames * M2P_BYTES);
    uint64_t compat_chunks = chunks_for(m->nr_frames * COMPAT_M2P_BYTES);

    if (nr_chunks < m2p_chunks + compat_chunks + 2)
        return err_set(e, ERR_USAGE, EINVAL, "--mem is too small for a host: give at least 16M");
    m->nr_chunks = nr_chunks - m2p_chunks - compat_chunks;
    m->base = map_aligned(m->fd, m->nr_frames * PAGE_BYTES);
    m->frames = sparse_map(m->nr_frames * sizeof(*m->frames));
    m->chunks = sparse_map(m->nr_chunks * sizeof(*m->chunks));
    m->free_chunks = sparse_map(m->nr_chunks * sizeof(*m->free_chunks));
    if (!m->base || !m->frames || !m->chunks || !m->free_chunks)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot map machine memory");

    for (uint64_t mfn = 0; mfn < m->nr_frames; mfn++)
        m->frames[mfn].owner = OWNER_FREE;
    own_xen_chunks(m, m->nr_chunks, m2p_chunks + compat_chunks);
    m->m2p_mfn = m->nr_chunks * PAGES_PER_CHUNK;
    m->compat_m2p_mfn = m->m2p_mfn + m2p_chunks * PAGES_PER_CHUNK;
    m->m2p = frame_ptr(m, m->m2p_mfn);
    m->compat_m2p = frame_ptr(m, m->compat_m2p_mfn);
    memset(m->m2p, 0xff, (m2p_chunks + compat_chunks) * CHUNK_BYTES);

    /* Chunk 0 stays Xen's, so that MFN 0 is nobody's. Handed out from the top, so that no frame
     * number ever equals its guest's. */
    own_xen_chunks(m, 0, 1);
    for (uint64_t c = 1; c < m->nr_chunks; c++) {
        m->chunks[c].broken = by_chance(m);
        if (!m->chunks[c].broken)
            m->free_chunks[m->nr_free_chunks++] = c;
    }
    m->free_frames = (m->nr_chunks - 1) * PAGES_PER_CHUNK;
    m->cursor = m->nr_chunks - 1;
    m->dom0_frames = p->dom0_bytes / PAGE_BYTES;
    if (m->dom0_frames > m->free_frames)
        return err_set(e, ERR_USAGE, EINVAL, "--dom0: it has more than the host");

    if (p->prealloc) {
        memset(m->base + CHUNK_BYTES, POISON_BYTE, (m->nr_chunks - 1) * CHUNK_BYTES);
        for (uint64_t mfn = PAGES_PER_CHUNK; mfn < m->m2p_mfn; mfn++)
            m->frames[mfn].flags = FRAME_POISONED;
    }
    return 0;
}

static bool slot_used(const struct chunk *c, uint64_t slot)
{
    return c->used[slot / 64] >> (slot % 64) & 1;
}

/* Whether the real machine can back what one allocation may touch. Caller holds heap_lock. */
static bool real_memory_left(struct machine *m)
{
    if (m->prealloc || m->real_credit >= REAL_LEAST_BYTES)
        return true;
    m->real_credit = machine_real_bytes_free();
    if (m->real_credit > REAL_STEP_BYTES)
        m->real_credit = REAL_STEP_BYTES;
    return m->real_credit >= REAL_LEAST_BYTES;
}

static void give_frame(struct machine *m, uint64_t mfn, uint16_t owner)
{
    struct frame *f = &m->frames[mfn];

    atomic_store_explicit(&f->owner, owner, memory_order_relaxed);
    f->type = PT_NONE;
    f->type_refs = 0;
    f->flags &= FRAME_POISONED;
    m2p_set(m, mfn, M2P_INVALID);
}

/* Without the lock: the frame is ours alone, and poisoning it is most of the cost. */
static void poison_frame(struct machine *m, uint64_t mfn)
{
    struct frame *f = &m->frames[mfn];

    if (!(f->flags & FRAME_POISONED))
        memset(frame_ptr(m, mfn), POISON_BYTE, PAGE_BYTES);
    f->flags &= (uint8_t)~FRAME_POISONED;
}

static void mark_used(struct machine *m, uint64_t mfn, uint16_t owner)
{
    struct chunk *c = &m->chunks[mfn / PAGES_PER_CHUNK];
    uint64_t slot = mfn % PAGES_PER_CHUNK;
    uint64_t bytes = PAGE_BYTES + (m->huge && !c->nr_used ? CHUNK_BYTES : 0);

    m->real_credit -= bytes < m->real_credit ? bytes : m->real_credit;
    c->used[slot / 64] |= 1ull << (slot % 64);
    c->nr_used++;
    m->free_frames--;
    give_frame(m, mfn, owner);
}

/* A whole free chunk leaves the list; a random one on a fragmented host. */
static uint64_t pop_free_chunk(struct machine *m)
{
    if (!m->nr_free_chunks)
        return 0;

    uint64_t pick = m->nr_free_chunks - 1;

    if (m->fragment_percent)
        pick = next_random(&m->rng) % m->nr_free_chunks;

    uint64_t chunk = m->free_chunks[pick];

    m->free_chunks[pick] = m->free_chunks[--m->nr_free_chunks];
    return chunk;
}

bool heap_scatters(struct machine *m)
{
    pthread_mutex_lock(&m->heap_lock);

    bool scatters = by_chance(m);

    pthread_mutex_unlock(&m->heap_lock);
    return scatters;
}

static void remove_free_chunk(struct machine *m, uint64_t chunk)
{
    for (uint64_t i = 0; i < m->nr_free_chunks; i++)
        if (m->free_chunks[i] == chunk) {
            m->free_chunks[i] = m->free_chunks[--m->nr_free_chunks];
            return;
        }
}

/* A free frame of a chunk that is open already, else of a new one, else of a reserved one. */
static uint64_t find_single(struct machine *m)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t n = 0; n < m->nr_chunks - 1; n++) {
            uint64_t chunk = m->cursor;
            struct chunk *c = &m->chunks[chunk];

            if (c->nr_used < PAGES_PER_CHUNK && (c->nr_used || c->broken || pass) &&
                (!c->reserved || pass)) {
                uint64_t first = m->fragment_percent ? next_random(&m->rng) % PAGES_PER_CHUNK : 0;

                for (uint64_t i = 0; i < PAGES_PER_CHUNK; i++) {
                    uint64_t slot = (first + i) % PAGES_PER_CHUNK;

                    if (!slot_used(c, slot)) {
                        if (!c->nr_used && !c->reserved && !c->broken)
                            remove_free_chunk(m, chunk);
                        return chunk * PAGES_PER_CHUNK + slot;
                    }
                }
            }
            m->cursor = m->cursor > 1 ? m->cursor - 1 : m->nr_chunks - 1;
        }
        if (!pass && m->nr_free_chunks) {
            uint64_t chunk = pop_free_chunk(m);

            m->cursor = chunk;
            return chunk * PAGES_PER_CHUNK +
                   (m->fragment_percent ? next_random(&m->rng) % PAGES_PER_CHUNK : 0);
        }
    }
    return 0;
}

/* From anywhere in the broken chunks, as long as they are not nearly full. */
static uint64_t find_scattered(struct machine *m)
{
    for (int tries = 0; tries < 1000; tries++) {
        uint64_t chunk = 1 + next_random(&m->rng) % (m->nr_chunks - 1);
        struct chunk *c = &m->chunks[chunk];
        uint64_t slot = next_random(&m->rng) % PAGES_PER_CHUNK;

        if (c->broken && !slot_used(c, slot))
            return chunk * PAGES_PER_CHUNK + slot;
    }
    return find_single(m);
}

/* Caller holds heap_lock. */
static uint64_t not_dom0s(const struct machine *m)
{
    return m->free_frames > m->dom0_frames ? m->free_frames - m->dom0_frames : 0;
}

uint64_t heap_free_frames(struct machine *m)
{
    uint64_t frames;

    pthread_mutex_lock(&m->heap_lock);
    frames = not_dom0s(m);
    pthread_mutex_unlock(&m->heap_lock);
    return frames;
}

static uint64_t locked_count(struct machine *m, const uint64_t *count)
{
    uint64_t frames;

    pthread_mutex_lock(&m->heap_lock);
    frames = *count;
    pthread_mutex_unlock(&m->heap_lock);
    return frames;
}

bool heap_claim(struct machine *m, uint64_t count)
{
    bool good;

    pthread_mutex_lock(&m->heap_lock);
    good = not_dom0s(m) >= m->claimed_frames + count;
    if (good)
        m->claimed_frames += count;
    pthread_mutex_unlock(&m->heap_lock);
    return good;
}

void heap_unclaim(struct machine *m, uint64_t count)
{
    pthread_mutex_lock(&m->heap_lock);
    m->claimed_frames -= count;
    pthread_mutex_unlock(&m->heap_lock);
}

uint64_t heap_claimed_frames(struct machine *m)
{
    return locked_count(m, &m->claimed_frames);
}

uint64_t heap_dom0_frames(struct machine *m)
{
    return locked_count(m, &m->dom0_frames);
}

bool heap_set_dom0(struct machine *m, uint64_t frames)
{
    bool good;

    pthread_mutex_lock(&m->heap_lock);
    good = m->free_frames >= frames + m->claimed_frames;
    if (good)
        m->dom0_frames = frames;
    pthread_mutex_unlock(&m->heap_lock);
    return good;
}

uint64_t heap_alloc_frame(struct machine *m, uint16_t owner, bool scatter)
{
    uint64_t mfn = 0;

    pthread_mutex_lock(&m->heap_lock);

    if (m->free_frames && real_memory_left(m))
        mfn = scatter ? find_scattered(m) : find_single(m);
    if (mfn)
        mark_used(m, mfn, owner);
    pthread_mutex_unlock(&m->heap_lock);
    if (mfn)
        poison_frame(m, mfn);
    return mfn;
}

uint64_t heap_alloc_chunk(struct machine *m, uint16_t owner)
{
    pthread_mutex_lock(&m->heap_lock);

    uint64_t first = real_memory_left(m) ? pop_free_chunk(m) * PAGES_PER_CHUNK : 0;

    for (uint64_t i = 0; first && i < PAGES_PER_CHUNK; i++)
        mark_used(m, first + i, owner);
    pthread_mutex_unlock(&m->heap_lock);
    for (uint64_t i = 0; first && i < PAGES_PER_CHUNK; i++)
        poison_frame(m, first + i);
    return first;
}

uint64_t heap_reserve_chunk(struct machine *m)
{
    pthread_mutex_lock(&m->heap_lock);

    uint64_t chunk = pop_free_chunk(m);

    if (chunk) {
        m->chunks[chunk].reserved = true;
        memset(m->chunks[chunk].taken, 0, sizeof(m->chunks[chunk].taken));
    }
    pthread_mutex_unlock(&m->heap_lock);
    return chunk * PAGES_PER_CHUNK;
}

uint64_t heap_take_reserved(struct machine *m, uint64_t mfn, uint64_t count, uint16_t owner)
{
    struct chunk *c = &m->chunks[mfn / PAGES_PER_CHUNK];
    uint64_t first = mfn % PAGES_PER_CHUNK, taken = 0;

    pthread_mutex_lock(&m->heap_lock);
    while (taken < count && first + taken < PAGES_PER_CHUNK) {
        uint64_t slot = first + taken, bit = 1ull << (slot % 64);

        if (slot_used(c, slot) || c->taken[slot / 64] & bit || !real_memory_left(m))
            break;
        c->taken[slot / 64] |= bit;
        mark_used(m, mfn + taken, owner);
        taken++;
    }
    pthread_mutex_unlock(&m->heap_lock);
    for (uint64_t i = 0; i < taken; i++)
        poison_frame(m, mfn + i);
    return taken;
}

/* Return an empty chunk's memory to the real machine. Caller holds heap_lock. */
static void retire_chunk(struct machine *m, uint64_t chunk)
{
    if (!m->prealloc)
        fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(chunk * CHUNK_BYTES),
            (off_t)CHUNK_BYTES);
    if (!m->chunks[chunk].broken)
        m->free_chunks[m->nr_free_chunks++] = chunk;
}

void heap_unreserve_chunk(struct machine *m, uint64_t first_mfn)
{
    uint64_t chunk = first_mfn / PAGES_PER_CHUNK;

    pthread_mutex_lock(&m->heap_lock);
    m->chunks[chunk].reserved = false;
    if (!m->chunks[chunk].nr_used)
        retire_chunk(m, chunk);
    pthread_mutex_unlock(&m->heap_lock);
}

static void release_frame(struct machine *m, uint64_t mfn)
{
    struct chunk *c = &m->chunks[mfn / PAGES_PER_CHUNK];
    uint64_t slot = mfn % PAGES_PER_CHUNK;

    if (m->prealloc) {
        memset(frame_ptr(m, mfn), POISON_BYTE, PAGE_BYTES);
        m->frames[mfn].flags = FRAME_POISONED;
    }
    pthread_mutex_lock(&m->heap_lock);
    m->frames[mfn].owner = OWNER_FREE;
    c->used[slot / 64] &= ~(1ull << (slot % 64));
    c->nr_used--;
    m->free_frames++;
    if (!c->nr_used && !c->reserved)
        retire_chunk(m, mfn / PAGES_PER_CHUNK);
    pthread_mutex_unlock(&m->heap_lock);
}

void heap_free_frame(struct machine *m, uint64_t mfn)
{
    struct frame *f = &m->frames[mfn];

    m2p_set(m, mfn, M2P_INVALID);
    f->type = PT_NONE;
    f->type_refs = 0;
    f->flags = 0;
    f->owner = OWNER_LIMBO;
    if (!f->map_refs)
        release_frame(m, mfn);
}

void frame_put_map_ref(struct machine *m, uint64_t mfn)
{
    struct frame *f = &m->frames[mfn];

    if (!--f->map_refs && f->owner == OWNER_LIMBO)
        release_frame(m, mfn);
}
