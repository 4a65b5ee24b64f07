/* SPDX-License-Identifier: MIT */
/*
 * What mapping a round's pages costs alone, without anything done to them: xensim needs one mmap
 * for each run of frames that do not lie side by side, Xen does not. Runs under
 * `xensim run HOST --`, on a PVH guest, whose frames are numbered as its own.
 *
 *   build/xensim-mappings DOMID read|write THREADS BATCH_PAGES <FRAMES
 *
 * FRAMES are numbers, one a line, and an empty line ends them. Prints "ready", waits for one more
 * line, then maps all of them once, touches each page and unmaps it, in batches of that size that
 * the threads share, and prints how long that took in ns.
 */
#include "base/deadline.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <xenforeignmemory.h>

enum { MOST_FRAMES = 1 << 20, MOST_THREADS = 64, PAGE = 4096, LINE_BYTES = 32 };

struct replay {
    uint32_t domid;
    int prot;
    uint64_t threads, batch_pages;
    xen_pfn_t frames[MOST_FRAMES];
    size_t count;
    atomic_size_t next;
    atomic_bool failed;
};

static bool read_frames(struct replay *r)
{
    char line[LINE_BYTES];
    uint64_t frame;

    while (fgets(line, sizeof(line), stdin) && line[0] != '\n') {
        line[strcspn(line, "\n")] = '\0';
        if (r->count == MOST_FRAMES || !parse_u64(line, 0, UINT32_MAX, &frame))
            return false;
        r->frames[r->count++] = frame;
    }
    return true;
}

static bool map_batch(const struct replay *r, xenforeignmemory_handle *fmem, size_t at)
{
    const size_t left = r->count - at, count = left < r->batch_pages ? left : r->batch_pages;
    volatile uint8_t *mem = xenforeignmemory_map(
        fmem, r->domid, r->prot, count, r->frames + at, NULL);

    if (!mem)
        return false;
    for (size_t i = 0; i < count; i++) {
        const uint8_t byte = mem[i * PAGE];

        if (r->prot & PROT_WRITE)
            mem[i * PAGE] = byte;
    }
    return !xenforeignmemory_unmap(fmem, (void *)mem, count);
}

static void *run(void *arg)
{
    struct replay *r = arg;
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    size_t at;

    while (fmem && (at = atomic_fetch_add(&r->next, r->batch_pages)) < r->count)
        if (!map_batch(r, fmem, at))
            atomic_store(&r->failed, true);
    if (!fmem)
        atomic_store(&r->failed, true);
    xenforeignmemory_close(fmem);
    return NULL;
}

static bool replay(struct replay *r)
{
    pthread_t threads[MOST_THREADS];
    uint64_t started = 0;

    while (started < r->threads && !pthread_create(&threads[started], NULL, run, r))
        started++;
    for (uint64_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return started == r->threads && !r->failed;
}

int main(int argc, char **argv)
{
    static struct replay r;
    char line[LINE_BYTES];
    uint64_t domid;

    if (argc != 5 || !parse_u64(argv[1], 1, UINT16_MAX, &domid) ||
        (strcmp(argv[2], "read") && strcmp(argv[2], "write")) ||
        !parse_u64(argv[3], 1, MOST_THREADS, &r.threads) ||
        !parse_u64(argv[4], 1, MOST_FRAMES, &r.batch_pages) || !read_frames(&r)) {
        fprintf(stderr, "usage: xensim-mappings DOMID read|write THREADS BATCH_PAGES <FRAMES\n");
        return 1;
    }
    r.domid = (uint32_t)domid;
    r.prot = strcmp(argv[2], "write") ? PROT_READ : PROT_READ | PROT_WRITE;
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        return 1;

    const int64_t begun_ns = now_ns();

    if (!replay(&r)) {
        fprintf(stderr, "xensim-mappings: domain %" PRIu64 ": %s\n", domid, strerror(errno));
        return 1;
    }
    printf("%" PRId64 "\n", now_ns() - begun_ns);
    return 0;
}
