/* SPDX-License-Identifier: MIT */
/*
 * load: what a lab guest does. It rewrites memory at a rate, checks all of it again and again, may
 * hold known values in vector registers and use a disk, and prints one line a second:
 *
 *     tick 12 mem 3 bad 0 wrote 40960 fpu 120 bad 0 disk 55 bad 0 fork 0 bad 0 gap_ms 52 cpus 1 end
 *
 * mem: how often every page was found right; bad: how often anything was wrong (never forgotten);
 * gap_ms: the longest time since the last line in which the guest did not run, give or take the ms
 * (gap; 50) at which it looks, by its own clock, which goes on while it is suspended (as far as the
 * hosts' clocks agree, see dom0/hostclock.c).
 *
 * Each page's content is a function of its index and version. The versions are kept beside the
 * pages, so a page that an older copy has overwritten is found, not only one that is torn. Every
 * seventh version is a page of zeros, so pages go from data to zero and back.
 *
 * Arguments name=number: mem (MiB rewritten), still (MiB written once), rate (pages a second), fpu
 * (0 or 1), threads, gap, count (1: the disk is used to count), fork (1: programs are started all
 * the time). Of two disks, xvda and the emulated sda, the tick shows the one that did less. Commands on
 * stdin, a line each: reboot, poweroff, crash, rate N, map REF (a page that dom0 grants), unmap.
 *
 * Each worker owns its slice of both regions alone; counters are atomics, written by one thread
 * each and read by the one that prints.
 */
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef uint16_t domid_t; /* the kernel's header takes them for granted */
typedef uint32_t grant_ref_t;
#include <xen/gntdev.h>

enum {
    PAGE_BYTES = 4096,
    PAGE_WORDS = PAGE_BYTES / 8,
    PAGES_PER_MIB = 256,
    MAX_THREADS = 8,
    /* To wake a guest up costs the emulator as much as to check some pages. */
    WORK_MS = 50,
    WORK_PAGES = 160, /* checked each time */
    DISK_BLOCK_BYTES = 65536,
    DISK_BLOCKS = 64,
    DISKS = 2,
};

struct slice {
    uint64_t *pages;
    uint32_t *versions;
    size_t first, count, rewritten; /* pages; the first `rewritten` of them are rewritten */
    atomic_ulong passes, bad, wrote;
    pthread_t thread;
};

static struct {
    size_t threads;
    atomic_ulong rate; /* pages a second, all threads together */
    struct slice slices[MAX_THREADS];
    atomic_ulong fpu_rounds, fpu_bad;
    atomic_ulong disk_rounds[DISKS], disk_bad;
    atomic_ulong fork_rounds, fork_bad;
    unsigned gap_look_ms;
    atomic_ulong gap_ms;
} guest;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static void sleep_ms(unsigned ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&ts, NULL);
}

/* A third of the pages is noise, a third half noise, a third nearly constant: compressible or not.
 */
static uint64_t page_word(size_t index, uint32_t version, size_t i, uint64_t *state)
{
    const size_t noisy = index % 3 == 0 ? PAGE_WORDS : index % 3 == 1 ? PAGE_WORDS / 2 : 8;

    if (version % 7 == 0)
        return 0;
    if (i < noisy)
        *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state;
}

static uint64_t page_seed(size_t index, uint32_t version)
{
    return ((uint64_t)index << 32 | version) * 0x9e3779b97f4a7c15u + 1;
}

static void write_page(uint64_t *page, size_t index, uint32_t version)
{
    uint64_t state = page_seed(index, version);

    for (size_t i = 0; i < PAGE_WORDS; i++)
        page[i] = page_word(index, version, i, &state);
}

static bool page_is_right(const uint64_t *page, size_t index, uint32_t version)
{
    uint64_t state = page_seed(index, version);

    for (size_t i = 0; i < PAGE_WORDS; i++)
        if (page[i] != page_word(index, version, i, &state))
            return false;
    return true;
}

static void check_page(struct slice *s, size_t i)
{
    if (!page_is_right(s->pages + i * PAGE_WORDS, s->first + i, s->versions[i])) {
        if (atomic_fetch_add(&s->bad, 1) < 5)
            printf("MEM BAD page %zu version %u: first words %016llx %016llx\n", s->first + i,
                s->versions[i], (unsigned long long)s->pages[i * PAGE_WORDS],
                (unsigned long long)s->pages[i * PAGE_WORDS + 1]);
        write_page(s->pages + i * PAGE_WORDS, s->first + i, s->versions[i]);
    }
}

static void *work(void *arg)
{
    struct slice *const s = arg;
    size_t next_write = 0, next_check = 0;
    uint64_t last_ns = now_ns();
    double owed = 0;

    for (;;) {
        const uint64_t ns = now_ns();
        const double rate = (double)atomic_load(&guest.rate) / (double)guest.threads;

        owed += (double)(ns - last_ns) * rate / 1e9;
        if (owed > rate / 5)
            owed = rate / 5; /* a guest that was stopped does not catch up */
        last_ns = ns;
        for (; owed >= 1 && s->rewritten > 0; owed -= 1) {
            check_page(s, next_write);
            write_page(s->pages + next_write * PAGE_WORDS, s->first + next_write,
                ++s->versions[next_write]);
            atomic_fetch_add(&s->wrote, 1);
            next_write = (next_write + 1) % s->rewritten;
        }
        for (int n = 0; n < WORK_PAGES && s->count > 0; n++) {
            check_page(s, next_check);
            if (++next_check == s->count) {
                next_check = 0;
                atomic_fetch_add(&s->passes, 1);
            }
        }
        sleep_ms(WORK_MS);
    }
    return NULL;
}

static void *hold_registers(void *arg)
{
    (void)arg;
    for (uint64_t round = 1;; round++) {
        if (!hold_round(round, 200000))
            atomic_fetch_add(&guest.fpu_bad, 1);
        atomic_fetch_add(&guest.fpu_rounds, 1);
        sleep_ms(2);
    }
    return NULL;
}

static void *start_programs(void *arg)
{
    (void)arg;
    for (;;) {
        int status = -1;
        const pid_t pid = fork();

        if (!pid) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            atomic_fetch_add(&guest.fork_bad, 1);
        atomic_fetch_add(&guest.fork_rounds, 1);
        sleep_ms(20);
    }
    return NULL;
}

static const char *const disks[DISKS] = {"/dev/xvda", "/dev/sda"};

static unsigned long disk_rounds(void)
{
    unsigned long least = ~0ul;

    for (unsigned i = 0; i < DISKS; i++)
        if (access(disks[i], F_OK) == 0 && atomic_load(&guest.disk_rounds[i]) < least)
            least = atomic_load(&guest.disk_rounds[i]);
    return least == ~0ul ? 0 : least;
}

static void fill_block(uint8_t *block, unsigned slot, uint32_t version)
{
    for (size_t i = 0; i < DISK_BLOCK_BYTES; i += PAGE_BYTES)
        write_page((uint64_t *)(void *)(block + i), slot, version * 7 + 1);
}

/* One page over and over, read back at once and after a while: whether anybody else writes to it,
 * and whether the disk is as old as the memory that knows the count. */
static void *count_on_disk(void *arg)
{
    static uint64_t page[PAGE_WORDS] __attribute__((aligned(PAGE_BYTES)));
    const int fd = open(disks[0], O_RDWR | O_DIRECT | O_CLOEXEC);

    (void)arg;
    for (uint64_t count = 1;; count++) {
        bool right;

        page[0] = count;
        right = pwrite(fd, page, sizeof(page), 0) == sizeof(page);
        for (int look = 0; look < 4; look++) {
            sleep_ms(25);
            page[0] = 0;
            right = right && pread(fd, page, sizeof(page), 0) == sizeof(page) && page[0] == count;
        }
        if (!right && atomic_fetch_add(&guest.disk_bad, 1) < 5)
            printf("DISK BAD %llu and not %llu\n", (unsigned long long)page[0],
                (unsigned long long)count);
        atomic_fetch_add(&guest.disk_rounds[0], 1);
    }
    return NULL;
}

/* Rewrites one block and reads another back, a few times a second, past the guest's page cache. */
static void *use_disk(void *arg)
{
    static _Thread_local uint8_t out[DISK_BLOCK_BYTES] __attribute__((aligned(PAGE_BYTES)));
    static _Thread_local uint8_t in[DISK_BLOCK_BYTES] __attribute__((aligned(PAGE_BYTES)));
    uint32_t versions[DISK_BLOCKS] = {0};
    const char *const *const disk = arg;
    const int fd = open(*disk, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd < 0) {
        printf("DISK BAD %s: %s\n", *disk, strerror(errno));
        atomic_fetch_add(&guest.disk_bad, 1);
        return NULL;
    }
    for (unsigned turn = 0;; turn++) {
        const unsigned slot = turn % DISK_BLOCKS, back = (turn * 7) % DISK_BLOCKS;
        bool right = true;

        fill_block(out, slot, ++versions[slot]);
        right = pwrite(fd, out, sizeof(out), (off_t)slot * DISK_BLOCK_BYTES) == sizeof(out);
        if (right && versions[back] != 0) {
            fill_block(out, back, versions[back]);
            right = pread(fd, in, sizeof(in), (off_t)back * DISK_BLOCK_BYTES) == sizeof(in) &&
                    memcmp(in, out, sizeof(in)) == 0;
        }
        if (!right && atomic_fetch_add(&guest.disk_bad, 1) < 5)
            printf("DISK BAD %s slot %u\n", *disk, slot);
        atomic_fetch_add(&guest.disk_rounds[disk - disks], 1);
        sleep_ms(100);
    }
    return NULL;
}

static void *watch_gaps(void *arg)
{
    uint64_t last = clock_ns(CLOCK_BOOTTIME); /* the monotonic one stands still while suspended */

    (void)arg;
    for (;;) {
        sleep_ms(guest.gap_look_ms);
        const uint64_t ns = clock_ns(CLOCK_BOOTTIME);
        const unsigned long ms = (unsigned long)((ns - last) / 1000000);

        if (ms > atomic_load(&guest.gap_ms))
            atomic_store(&guest.gap_ms, ms);
        last = ns;
    }
    return NULL;
}

/* Maps a page of dom0's by its grant reference and leaves it mapped until unmap_grant(). */
static struct {
    int fd;
    char *page;
} granted = {.fd = -1};

static void map_grant(uint32_t ref)
{
    struct ioctl_gntdev_map_grant_ref map = {.count = 1, .refs[0] = {.domid = 0, .ref = ref}};

    granted.fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
    if (granted.fd < 0 || ioctl(granted.fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map) < 0) {
        printf("cannot map grant %u: %s\n", ref, strerror(errno));
        return;
    }
    granted.page = mmap(
        NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, granted.fd, (off_t)map.index);
    if (granted.page == MAP_FAILED)
        printf("cannot mmap grant %u: %s\n", ref, strerror(errno));
    else
        printf("mapped grant %u: %.16s\n", ref, granted.page);
}

static void unmap_grant(void)
{
    munmap(granted.page, PAGE_BYTES);
    close(granted.fd);
    printf("unmapped\n");
}

static void *obey(void *arg)
{
    char line[64];
    unsigned long rate;
    uint32_t ref;

    (void)arg;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0')
            printf("told %s\n", line);
        if (strcmp(line, "reboot") == 0)
            reboot(RB_AUTOBOOT);
        else if (strcmp(line, "poweroff") == 0)
            reboot(RB_POWER_OFF);
        else if (strcmp(line, "crash") == 0) {
            const int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

            if (fd < 0 || write(fd, "c", 1) != 1)
                printf("cannot crash: %s\n", strerror(errno));
        } else if (sscanf(line, "rate %lu", &rate) == 1)
            atomic_store(&guest.rate, rate);
        else if (sscanf(line, "map %u", &ref) == 1)
            map_grant(ref);
        else if (strcmp(line, "unmap") == 0)
            unmap_grant();
    }
    return NULL;
}

static unsigned long argument(int argc, char **argv, const char *name, unsigned long otherwise)
{
    const size_t length = strlen(name);

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            return strtoul(argv[i] + length + 1, NULL, 10);
    return otherwise;
}

static void start(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, arg) != 0) {
        printf("load: no thread\n");
        exit(1);
    }
    pthread_detach(thread);
}

static void start_slices(size_t hot_pages, size_t still_pages)
{
    for (size_t t = 0; t < guest.threads; t++) {
        struct slice *const s = &guest.slices[t];

        s->rewritten = hot_pages / guest.threads;
        s->count = s->rewritten + still_pages / guest.threads;
        s->first = t * s->count;
        s->pages = mmap(NULL, s->count * PAGE_BYTES, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        s->versions = calloc(s->count, sizeof(*s->versions));
        if (s->pages == MAP_FAILED || s->versions == NULL) {
            printf("load: no memory for %zu pages\n", s->count);
            exit(1);
        }
        for (size_t i = 0; i < s->count; i++)
            write_page(s->pages + i * PAGE_WORDS, s->first + i, s->versions[i] = 1 + i % 7);
        start(work, s);
    }
}

int main(int argc, char **argv)
{
    const size_t hot_pages = argument(argc, argv, "mem", 4) * PAGES_PER_MIB;
    const size_t still_pages = argument(argc, argv, "still", 4) * PAGES_PER_MIB;

    setvbuf(stdout, NULL, _IOLBF, 0);
    guest.threads = argument(argc, argv, "threads", 1);
    if (guest.threads < 1 || guest.threads > MAX_THREADS)
        guest.threads = 1;
    atomic_store(&guest.rate, argument(argc, argv, "rate", 1000));
    start_slices(hot_pages, still_pages);
    guest.gap_look_ms = (unsigned)argument(argc, argv, "gap", 50);
    start(watch_gaps, NULL);
    start(obey, NULL);
    if (argument(argc, argv, "fpu", 0) != 0)
        start(hold_registers, NULL);
    if (argument(argc, argv, "fork", 0) != 0)
        start(start_programs, NULL);
    for (unsigned i = 0; i < DISKS; i++)
        if (access(disks[i], F_OK) == 0)
            start(argument(argc, argv, "count", 0) != 0 ? count_on_disk : use_disk,
                (void *)(uintptr_t)&disks[i]);

    for (unsigned long tick = 1;; tick++) {
        unsigned long passes = ~0ul, bad = 0, wrote = 0;

        for (size_t t = 0; t < guest.threads; t++) {
            const unsigned long p = atomic_load(&guest.slices[t].passes);

            passes = p < passes ? p : passes;
            bad += atomic_load(&guest.slices[t].bad);
            wrote += atomic_load(&guest.slices[t].wrote);
        }
        printf(
            "tick %lu mem %lu bad %lu wrote %lu fpu %lu bad %lu disk %lu bad %lu fork %lu bad %lu "
            "gap_ms %lu cpus %ld end\n",
            tick, passes, bad, wrote, atomic_load(&guest.fpu_rounds), atomic_load(&guest.fpu_bad),
            disk_rounds(), atomic_load(&guest.disk_bad), atomic_load(&guest.fork_rounds),
            atomic_load(&guest.fork_bad), atomic_exchange(&guest.gap_ms, 0),
            sysconf(_SC_NPROCESSORS_ONLN));
        sleep_ms(1000);
    }
}
