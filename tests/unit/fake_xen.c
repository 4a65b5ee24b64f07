/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_xen.h"

#include "engine/xen/build.h"
#include "engine/xen/foreign.h"
#include "engine/xen/hbuf.h"
#include "engine/xen/xen.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_FRAMES = 1 << 16, RUBBISH = 0xc2 };

struct fake_domain {
    int fd;
    uint8_t *memory;
};

static struct {
    unsigned frames;
    struct fake_domain domains[FAKE_DEST + 1];
    atomic_uint populated[MAX_FRAMES];
    atomic_int memory_pages, opens, handles, mapped;
} fake;

static void open_domain(struct fake_domain *d)
{
    const size_t bytes = (size_t)fake.frames * FAKE_PAGE_BYTES;

    d->fd = memfd_create("guest", MFD_CLOEXEC);
    if (d->fd < 0 || ftruncate(d->fd, (off_t)bytes))
        abort();
    d->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
    if (d->memory == MAP_FAILED)
        abort();
}

void fake_xen_begin(unsigned frames)
{
    if (frames > MAX_FRAMES)
        abort();
    memset(&fake, 0, sizeof(fake));
    fake.frames = frames;
    fake.memory_pages = fake.opens = INT32_MAX;
    open_domain(&fake.domains[FAKE_SOURCE]);
    open_domain(&fake.domains[FAKE_DEST]);
    memset(fake.domains[FAKE_DEST].memory, RUBBISH, (size_t)frames * FAKE_PAGE_BYTES);
}

void fake_xen_end(void)
{
    for (int domid = FAKE_SOURCE; domid <= FAKE_DEST; domid++) {
        munmap(fake.domains[domid].memory, (size_t)fake.frames * FAKE_PAGE_BYTES);
        close(fake.domains[domid].fd);
    }
}

uint8_t *fake_xen_page(uint32_t domid, uint64_t frame)
{
    return fake.domains[domid].memory + frame * FAKE_PAGE_BYTES;
}

unsigned fake_xen_populated(uint64_t frame)
{
    return fake.populated[frame];
}

void fake_xen_memory(unsigned pages)
{
    fake.memory_pages = (int)pages;
}

void fake_xen_opens(unsigned times)
{
    fake.opens = (int)times;
}

int fake_xen_open_handles(void)
{
    return fake.handles;
}

int fake_xen_mapped(void)
{
    return fake.mapped;
}

/* ---- engine/xen/xen.h ---- */

int xen_open(struct xen *x, const struct log *log, struct err *e)
{
    (void)log;
    *x = (struct xen){0};
    if (atomic_fetch_sub(&fake.opens, 1) <= 0)
        return err_set(e, ERR_LOCAL, EACCES, "no more handles");
    x->xch = (xc_interface *)&fake;
    atomic_fetch_add(&fake.handles, 1);
    return 0;
}

void xen_close(struct xen *x)
{
    if (x->xch)
        atomic_fetch_sub(&fake.handles, 1);
    *x = (struct xen){0};
}

int xen_version_read(struct xen *x, uint32_t *major, uint32_t *minor, struct err *e)
{
    (void)x, (void)e;
    *major = 4;
    *minor = 17;
    return 0;
}

/* ---- engine/xen/hbuf.h ---- */

int hbuf_alloc(struct xen *x, struct hbuf *h, size_t bytes, struct err *e)
{
    (void)x;
    h->mem = calloc(1, bytes);
    return h->mem ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
}

void hbuf_free(struct xen *x, struct hbuf *h)
{
    (void)x;
    free(h->mem);
    h->mem = NULL;
}

/* ---- engine/xen/foreign.h ---- */

void *foreign_map_some(struct xen *x, uint32_t domid, int prot, const uint64_t *frames,
    size_t count, int *errors, struct err *e)
{
    char *mem = mmap(NULL, count * FAKE_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)x, (void)e;
    for (size_t i = 0; i < count; i++) {
        const bool there = frames[i] < fake.frames &&
                           (domid != FAKE_DEST || fake.populated[frames[i]]);

        errors[i] = there ? 0 : EFAULT;
        if (there &&
            mmap(mem + i * FAKE_PAGE_BYTES, FAKE_PAGE_BYTES, prot, MAP_SHARED | MAP_FIXED,
                fake.domains[domid].fd, (off_t)(frames[i] * FAKE_PAGE_BYTES)) == MAP_FAILED)
            abort();
    }
    atomic_fetch_add(&fake.mapped, (int)count);
    return mem;
}

void *foreign_map(struct xen *x, uint32_t domid, int prot, const uint64_t *frames, size_t count,
    const char *what, struct err *e)
{
    (void)x, (void)domid, (void)prot, (void)frames, (void)count;
    err_set(e, ERR_LOCAL, EFAULT, "cannot map %s", what);
    return NULL;
}

void foreign_unmap(struct xen *x, void *mem, size_t count)
{
    (void)x;
    if (!mem)
        return;
    munmap(mem, count * FAKE_PAGE_BYTES);
    atomic_fetch_sub(&fake.mapped, (int)count);
}

int frame_types_read(struct xen *x, uint32_t domid, struct hbuf *scratch, const uint64_t *frames,
    unsigned count, uint8_t *types, struct err *e)
{
    (void)x, (void)domid, (void)scratch, (void)frames, (void)e;
    memset(types, 0, count);
    return 0;
}

/* ---- engine/xen/build.h ---- */

int build_populate(struct xen *x, uint32_t domid, unsigned order, uint64_t *frames, unsigned count)
{
    (void)x, (void)domid;
    for (unsigned i = 0; i < count; i++) {
        if (atomic_fetch_sub(&fake.memory_pages, 1 << order) < 1 << order)
            return (int)i;
        for (unsigned j = 0; j < 1u << order && frames[i] + j < MAX_FRAMES; j++)
            atomic_fetch_add(&fake.populated[frames[i] + j], 1);
    }
    return (int)count;
}

int build_release(
    struct xen *x, uint32_t domid, const uint64_t *frames, unsigned count, struct err *e)
{
    (void)x, (void)domid, (void)e;
    atomic_fetch_add(&fake.memory_pages, (int)count);
    for (unsigned i = 0; i < count; i++)
        atomic_fetch_sub(&fake.populated[frames[i]], 1);
    return 0;
}

int build_clear_page(struct xen *x, uint32_t domid, uint64_t frame, const char *what, struct err *e)
{
    (void)x, (void)what, (void)e;
    memset(fake_xen_page(domid, frame), 0, FAKE_PAGE_BYTES);
    return 0;
}

int build_set_width(struct xen *x, uint32_t domid, unsigned width_bytes, struct err *e)
{
    (void)x, (void)domid, (void)width_bytes, (void)e;
    return 0;
}

int build_pin_tables(
    struct xen *x, uint32_t domid, const struct build_pin *pins, unsigned count, struct err *e)
{
    (void)x, (void)domid, (void)pins, (void)count, (void)e;
    return 0;
}

int build_seed_grants(struct xen *x, uint32_t domid, const struct build_rings *rings, struct err *e)
{
    (void)x, (void)domid, (void)rings, (void)e;
    return 0;
}
