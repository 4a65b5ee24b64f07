/*
 * The preload library: what the kernel's privcmd driver and hypercall device are to a toolstack
 * process. It answers open, ioctl, mmap, munmap, close and dup on /dev/xen/privcmd and
 * /dev/xen/hypercall by asking the daemon at $XENSIM_SOCKET, and passes everything else on.
 *
 * A privcmd descriptor is a connection to the daemon; the process as a whole has a session with
 * the shared arena, from which the hypercall device's memory comes. Guest memory is mapped from
 * the machine file itself, runs of consecutive frames with one mmap. The client changes nothing
 * shared but the bytes that say that it has let go of a mapping.
 *
 * Locks: `lock` guards the tables of descriptors and mappings and the arena; each connection has
 * a mutex that is held while it talks. After a fork the child's tables start empty: handles are
 * not usable across fork, as with Xen.
 */
#include "xensim/proto.h"
#include "xensim/wire.h"
#include "xensim/xen.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define PAGE       4096ull
#define HUGE_BYTES (2ull << 20)

enum { MAX_FDS = 65536, MAX_REGIONS = 16384 };

enum device { DEVICE_NONE, DEVICE_PRIVCMD, DEVICE_HYPERCALL };

/* One open of privcmd; dup shares it. */
struct connection {
    unsigned refs;
    int sock; /* our own duplicate: the program's descriptors may come and go */
    uint8_t *window;
    pthread_mutex_t lock;
};

/* Memory that an mmap of one of the devices returned. */
struct region {
    uintptr_t start;
    size_t bytes;
    size_t left; /* bytes not yet unmapped */
    int prot;
    enum device device;
    uint32_t nr_slots;
    uint32_t *slots; /* mappings the daemon holds for it */
};

struct client {
    pthread_mutex_t lock;
    bool open;
    int control;
    int machine_fd;
    uint64_t token;
    uint8_t *arena;
    uint64_t *arena_used; /* one bit a page */
    _Atomic uint8_t *releases;
    struct region *regions; /* sorted by start */
    size_t nr_regions;
};

static struct client client = {.lock = PTHREAD_MUTEX_INITIALIZER, .control = -1, .machine_fd = -1};
static _Atomic(struct connection *) connections[MAX_FDS];
static _Atomic uint8_t devices[MAX_FDS];

static struct {
    int (*open)(const char *, int, ...);
    int (*openat)(int, const char *, int, ...);
    int (*ioctl)(int, unsigned long, ...);
    void *(*mmap)(void *, size_t, int, int, int, off_t);
    int (*munmap)(void *, size_t);
    int (*close)(int);
    int (*dup)(int);
    int (*dup2)(int, int);
    int (*dup3)(int, int, int);
    int (*fcntl)(int, int, ...);
} real;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The child of a fork has no session: what it inherited belongs to its parent. The lock it holds
 * since lock_before_fork(). */
static void forget_in_child(void)
{
    if (client.open) {
        real.close(client.control);
        real.close(client.machine_fd);
        real.munmap(client.arena, ARENA_BYTES);
        real.munmap((void *)client.releases, MAX_MAPPINGS);
    }
    client.open = false;
    client.control = client.machine_fd = -1;
    client.nr_regions = 0;
    pthread_mutex_unlock(&client.lock);
}

static void lock_before_fork(void)
{
    pthread_mutex_lock(&client.lock);
}

static void unlock_in_parent(void)
{
    pthread_mutex_unlock(&client.lock);
}

static void init_once(void)
{
#define FIND(name) *(void **)(&real.name) = dlsym(RTLD_NEXT, #name)
    FIND(open);
    FIND(openat);
    FIND(ioctl);
    FIND(mmap);
    FIND(munmap);
    FIND(close);
    FIND(dup);
    FIND(dup2);
    FIND(dup3);
    FIND(fcntl);
#undef FIND
    pthread_atfork(lock_before_fork, unlock_in_parent, forget_in_child);
}

static void init(void)
{
    pthread_once(&once, init_once);
}

/*
 * Descriptors of ours live where programs do not close everything up to some small number; and not
 * just below a power of two: when the kernel's table of a process with threads has to grow, that
 * takes a grace period of RCU, 15 ms on a busy machine.
 */
enum { FIRST_OWN_FD = 600 };

static int move_up(int fd)
{
    int high = real.fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);

    if (high < 0)
        return fd;
    real.close(fd);
    return high;
}

static int connect_daemon(void)
{
    const char *path = getenv("XENSIM_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock;

    if (!path || strlen(path) >= sizeof(addr.sun_path))
        return -ENODEV;
    strcpy(addr.sun_path, path);
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    if (connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
        int rc = errno == ENOENT || errno == ECONNREFUSED ? -EHOSTDOWN : -errno;

        real.close(sock);
        return rc;
    }
    return sock;
}

static int ask(int sock, struct proto_request *req, struct proto_reply *reply, int *fds, int nr_fds)
{
    size_t none = 0;
    int rc = wire_send(sock, req, sizeof(*req), NULL, 0, NULL, 0);

    if (!rc)
        rc = wire_recv(sock, reply, sizeof(*reply), NULL, &none, fds, nr_fds);
    /* The daemon is gone: the same for every caller, nothing to wait for, and an error that no Xen
     * gives, so that who reads it knows. */
    return rc ? -EHOSTDOWN : 0;
}

static void *map_at(void *at, uint64_t bytes, int prot, int flags, int fd, uint64_t offset)
{
    void *p = real.mmap(at, bytes, prot, flags, fd, (off_t)offset);

    return p == MAP_FAILED ? NULL : p;
}

/* Caller holds client.lock. */
static int open_session(void)
{
    struct proto_request req = {.op = OP_SESSION};
    struct proto_reply reply;
    int fds[3];
    uint8_t *arena;
    int sock, rc;

    if (client.open)
        return 0;
    sock = connect_daemon();
    if (sock < 0)
        return sock;
    arena = map_at(
        NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!client.regions)
        client.regions = malloc(MAX_REGIONS * sizeof(*client.regions));
    if (!client.arena_used)
        client.arena_used = malloc(ARENA_BYTES / PAGE / 8);
    if (!arena || !client.regions || !client.arena_used) {
        real.close(sock);
        return -ENOMEM;
    }
    req.arg[0] = PROTO_VERSION;
    req.arg[1] = (uint64_t)getpid();
    req.arg[2] = (uint64_t)(uintptr_t)arena;
    rc = ask(sock, &req, &reply, fds, 3);
    if (!rc && reply.result)
        rc = (int)reply.result;
    if (rc) {
        real.close(sock);
        real.munmap(arena, ARENA_BYTES);
        return rc;
    }
    client.arena = map_at(
        arena, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fds[1], 0);
    client.releases = map_at(NULL, MAX_MAPPINGS, PROT_READ | PROT_WRITE, MAP_SHARED, fds[2], 0);
    real.close(fds[1]);
    real.close(fds[2]);
    if (!client.arena || !client.releases) {
        real.close(fds[0]);
        real.close(sock);
        return -ENOMEM;
    }
    memset(client.arena_used, 0, ARENA_BYTES / PAGE / 8);
    client.control = move_up(sock);
    client.machine_fd = move_up(fds[0]);
    client.token = reply.value;
    /* Some callers pass pointers outside hypercall buffers: the daemon writes there itself. */
    prctl(PR_SET_PTRACER, (unsigned long)reply.daemon_pid, 0, 0, 0);
    client.open = true;
    return 0;
}

static struct connection *connection_of(int fd)
{
    return fd >= 0 && fd < MAX_FDS ? atomic_load(&connections[fd]) : NULL;
}

static enum device device_of(int fd)
{
    return fd >= 0 && fd < MAX_FDS ? (enum device)atomic_load(&devices[fd]) : DEVICE_NONE;
}

static enum device device_named(const char *path)
{
    if (!path || strncmp(path, "/dev/xen/", 9) || !getenv("XENSIM_SOCKET"))
        return DEVICE_NONE;
    if (!strcmp(path + 9, "privcmd"))
        return DEVICE_PRIVCMD;
    return strcmp(path + 9, "hypercall") ? DEVICE_NONE : DEVICE_HYPERCALL;
}

static int open_connection(int flags, int *fd)
{
    struct connection *c = calloc(1, sizeof(*c));
    struct proto_request req = {.op = OP_CONNECT};
    struct proto_reply reply;
    int window_fd, rc = -ENOMEM;

    *fd = -1;
    if (!c)
        return rc;
    c->sock = connect_daemon();
    if (c->sock < 0) {
        rc = c->sock;
        free(c);
        return rc;
    }
    req.arg[0] = client.token;
    rc = ask(c->sock, &req, &reply, &window_fd, 1);
    if (!rc && reply.result)
        rc = (int)reply.result;
    if (!rc) {
        c->window = map_at(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
        real.close(window_fd);
        *fd = real.fcntl(c->sock, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 3);
        rc = !c->window ? -ENOMEM : *fd < 0 ? -errno : 0;
        if (!rc && *fd >= MAX_FDS)
            rc = -EMFILE;
    }
    if (rc) {
        if (*fd >= 0)
            real.close(*fd);
        if (c->window)
            real.munmap(c->window, WINDOW_BYTES);
        real.close(c->sock);
        free(c);
        return rc;
    }
    c->sock = move_up(c->sock);
    c->refs = 1;
    pthread_mutex_init(&c->lock, NULL);
    atomic_store(&connections[*fd], c);
    atomic_store(&devices[*fd], DEVICE_PRIVCMD);
    return 0;
}

static int open_device(enum device device, int flags)
{
    int fd = -1, rc;

    pthread_mutex_lock(&client.lock);
    rc = open_session();
    if (!rc && device == DEVICE_PRIVCMD)
        rc = open_connection(flags, &fd);
    pthread_mutex_unlock(&client.lock);
    if (!rc && device == DEVICE_HYPERCALL) {
        /* Any descriptor will do: only its number matters. */
        fd = real.open("/dev/null", O_RDWR | (flags & O_CLOEXEC));
        if (fd < 0 || fd >= MAX_FDS)
            rc = fd < 0 ? -errno : -EMFILE;
        else
            atomic_store(&devices[fd], DEVICE_HYPERCALL);
    }
    if (rc) {
        errno = -rc;
        return -1;
    }
    return fd;
}

static void forget_fd(int fd)
{
    struct connection *c;

    if (fd < 0 || fd >= MAX_FDS || !atomic_load(&devices[fd]))
        return;
    pthread_mutex_lock(&client.lock);
    c = atomic_exchange(&connections[fd], NULL);
    atomic_store(&devices[fd], DEVICE_NONE);
    if (c && --c->refs)
        c = NULL;
    pthread_mutex_unlock(&client.lock);
    if (c) {
        real.close(c->sock);
        real.munmap(c->window, WINDOW_BYTES);
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
}

static void share_fd(int old, int new)
{
    struct connection *c;

    if (new < 0 || new >= MAX_FDS || old == new || !device_of(old))
        return;
    pthread_mutex_lock(&client.lock);
    c = connection_of(old);
    if (c)
        c->refs++;
    atomic_store(&connections[new], c);
    atomic_store(&devices[new], device_of(old));
    pthread_mutex_unlock(&client.lock);
}

/* Regions, sorted by address. Caller holds client.lock. */

static size_t region_at(uintptr_t address)
{
    size_t low = 0, high = client.nr_regions;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (client.regions[mid].start + client.regions[mid].bytes <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct region *find_region(uintptr_t address)
{
    size_t i = region_at(address);

    return i < client.nr_regions && client.regions[i].start <= address ? &client.regions[i] : NULL;
}

static int add_region(const struct region *r)
{
    size_t i = region_at(r->start);

    if (client.nr_regions == MAX_REGIONS)
        return -ENOMEM;
    memmove(&client.regions[i + 1], &client.regions[i],
        (client.nr_regions - i) * sizeof(client.regions[0]));
    client.regions[i] = *r;
    client.nr_regions++;
    return 0;
}

/* Take it out of the list; what the daemon holds for it is let go later. */
static struct region take_region(struct region *r)
{
    const struct region gone = *r;
    size_t i = (size_t)(r - client.regions);

    memmove(r, r + 1, (--client.nr_regions - i) * sizeof(*r));
    return gone;
}

static void let_go(const struct region *gone)
{
    for (uint32_t s = 0; s < gone->nr_slots; s++)
        atomic_store(&client.releases[gone->slots[s]], 1);
    free(gone->slots);
}

/* The arena: first fit over a bitmap. Hypercall buffers are few and mostly cached by libxencall. */

static bool arena_page_used(uint64_t page)
{
    return client.arena_used[page / 64] >> (page % 64) & 1;
}

static void arena_mark(uint64_t first, uint64_t count, bool used)
{
    for (uint64_t p = first; p < first + count; p++)
        if (used)
            client.arena_used[p / 64] |= 1ull << (p % 64);
        else
            client.arena_used[p / 64] &= ~(1ull << (p % 64));
}

static void *arena_alloc(size_t bytes)
{
    uint64_t want = (bytes + PAGE - 1) / PAGE, run = 0;

    for (uint64_t p = 0; want && p < ARENA_BYTES / PAGE; p++) {
        run = arena_page_used(p) ? 0 : run + 1;
        if (run == want) {
            arena_mark(p + 1 - want, want, true);
            return client.arena + (p + 1 - want) * PAGE;
        }
    }
    return MAP_FAILED;
}

static bool in_arena(const void *p)
{
    return client.open && (const uint8_t *)p >= client.arena &&
           (const uint8_t *)p < client.arena + ARENA_BYTES;
}

/* Give the memory back to the system, too: a large bitmap must not stay for ever. */
static int arena_free(void *p, size_t bytes)
{
    uint64_t pages = (bytes + PAGE - 1) / PAGE;

    pthread_mutex_lock(&client.lock);
    arena_mark((uint64_t)((uint8_t *)p - client.arena) / PAGE, pages, false);
    pthread_mutex_unlock(&client.lock);
    if (pages > 16)
        madvise(p, pages * PAGE, MADV_REMOVE);
    return 0;
}

static void *map_nothing(void *at, uint64_t bytes)
{
    return map_at(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* Address space that begins at a multiple of 2 MiB. */
static uint8_t *map_nothing_aligned(size_t bytes)
{
    uint8_t *raw = map_nothing(NULL, bytes);

    /* As Linux chooses by itself, in later versions: the other way takes two calls more. */
    if (!raw || (uintptr_t)raw % HUGE_BYTES == 0)
        return raw;
    real.munmap(raw, bytes);
    raw = map_nothing(NULL, bytes + HUGE_BYTES);
    if (!raw)
        return NULL;

    uint8_t *start = (uint8_t *)(((uintptr_t)raw + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));

    if (start > raw)
        real.munmap(raw, (size_t)(start - raw));
    if (start < raw + HUGE_BYTES)
        real.munmap(start + bytes, (size_t)(raw + HUGE_BYTES - start));
    return start;
}

/* Address space for a mapping to come, aligned so that 2 MiB runs can be mapped as such. */
static void *reserve(void *hint, size_t bytes, int prot)
{
    struct region r = {.bytes = bytes, .left = bytes, .prot = prot, .device = DEVICE_PRIVCMD};
    const bool align = bytes >= HUGE_BYTES && !hint;
    uint8_t *start = align ? map_nothing_aligned(bytes) : map_nothing(hint, bytes);
    int rc;

    if (!start)
        return MAP_FAILED;
    r.start = (uintptr_t)start;
    pthread_mutex_lock(&client.lock);
    rc = add_region(&r);
    pthread_mutex_unlock(&client.lock);
    if (!rc)
        return start;
    real.munmap(start, bytes);
    errno = -rc;
    return MAP_FAILED;
}

/* The region leaves the list before its addresses are free: another thread's next mapping may be
 * given the same ones. */
static int release(void *addr, size_t bytes)
{
    struct region gone = {0};
    int rc, saved;

    pthread_mutex_lock(&client.lock);
    if (client.nr_regions) {
        struct region *r = find_region((uintptr_t)addr);

        if (r) {
            r->left -= bytes < r->left ? bytes : r->left;
            if (!r->left)
                gone = take_region(r);
        }
    }
    pthread_mutex_unlock(&client.lock);
    rc = real.munmap(addr, bytes);
    saved = errno;
    let_go(&gone);
    errno = saved;
    return rc;
}

/* Remember that the daemon holds this mapping for the region. */
static int keep_slot(uintptr_t address, uint32_t slot)
{
    struct region *r;
    uint32_t *slots = NULL;

    pthread_mutex_lock(&client.lock);
    r = find_region(address);
    if (r)
        slots = realloc(r->slots, (r->nr_slots + 1) * sizeof(*slots));
    if (slots) {
        r->slots = slots;
        r->slots[r->nr_slots++] = slot;
    }
    pthread_mutex_unlock(&client.lock);
    return slots ? 0 : -ENOMEM;
}

/* Map runs of consecutive frames at address, all there when this returns, as behind Xen's privcmd;
 * frames that are 0 stay unmapped. */
static int map_frames(uintptr_t address, const uint64_t *mfns, size_t count, int prot)
{
    for (size_t i = 0; i < count;) {
        size_t run = 1;

        while (mfns[i] && i + run < count && mfns[i + run] == mfns[i] + run)
            run++;
        if (mfns[i] &&
            !map_at((void *)(address + i * PAGE), run * PAGE, prot,
                MAP_SHARED | MAP_FIXED | MAP_POPULATE, client.machine_fd, mfns[i] * PAGE))
            return -errno;
        i += run;
    }
    return 0;
}

/* What the daemon holds for us in this slot now, mapped. */
static int keep_mapping(
    uintptr_t address, uint32_t slot, const uint64_t *mfns, size_t count, int prot)
{
    int rc = keep_slot(address, slot);

    if (rc) {
        atomic_store(&client.releases[slot], 1);
        return rc;
    }
    return map_frames(address, mfns, count, prot);
}

static int region_prot(uintptr_t address, size_t bytes, int *prot)
{
    struct region *r;
    int rc = -EINVAL;

    pthread_mutex_lock(&client.lock);
    r = find_region(address);
    if (r && r->device == DEVICE_PRIVCMD && address + bytes <= r->start + r->bytes) {
        *prot = r->prot;
        rc = 0;
    }
    pthread_mutex_unlock(&client.lock);
    return rc;
}

/* Up to MAX_MAP_PAGES at a time. c->lock is held. */
static int map_some(struct connection *c, uint16_t dom, uintptr_t address, int prot,
    const xen_pfn_t *gfns, int *errs, size_t count)
{
    struct proto_request req = {.op = OP_MAP, .arg = {dom, (prot & PROT_WRITE) != 0, count}};
    struct proto_reply reply;
    uint64_t *mfns = (uint64_t *)c->window;
    int rc;

    memcpy(mfns, gfns, count * sizeof(*mfns));
    rc = ask(c->sock, &req, &reply, NULL, 0);
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
    return keep_mapping(address, (uint32_t)reply.value, mfns, count, prot);
}

static int ioctl_mmapbatch(struct connection *c, const privcmd_mmapbatch_v2_t *b)
{
    int prot;
    int rc = region_prot(b->addr, (size_t)b->num * PAGE, &prot);

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
        rc = region_prot(m->addr, m->num * PAGE, &prot);
    if (rc)
        return rc;
    pthread_mutex_lock(&c->lock);
    rc = ask(c->sock, &req, &reply, NULL, 0);
    if (!rc && reply.result < 0)
        rc = (int)reply.result;
    else if (!rc && !m->addr)
        m->num = (uint64_t)reply.result;
    else if (!rc)
        rc = keep_mapping(m->addr, (uint32_t)reply.value, (uint64_t *)c->window, m->num, prot);
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
    rc = ask(c->sock, &req, &reply, NULL, 0);
    pthread_mutex_unlock(&c->lock);
    return rc ? rc : reply.result;
}

/* As the driver answers; the host's log names it. */
static int ioctl_unknown(struct connection *c, unsigned long request)
{
    struct proto_request req = {.op = OP_UNKNOWN_IOCTL, .arg = {_IOC_NR(request)}};
    struct proto_reply reply;
    int rc;

    pthread_mutex_lock(&c->lock);
    rc = ask(c->sock, &req, &reply, NULL, 0);
    pthread_mutex_unlock(&c->lock);
    return rc ? rc : -ENOTTY;
}

static int privcmd_ioctl(struct connection *c, unsigned long request, void *arg)
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

/* What programs call. */

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
    EXPORT int name(const char *path, int flags, ...);                                             \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list args;                                                                              \
        mode_t mode;                                                                               \
                                                                                                   \
        init();                                                                                    \
        va_start(args, flags);                                                                     \
        mode = mode_of(flags, args);                                                               \
        va_end(args);                                                                              \
        if (device_named(path))                                                                    \
            return open_device(device_named(path), flags);                                         \
        return real.open(path, flags, mode);                                                       \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                                                        \
    EXPORT int name(int dir, const char *path, int flags, ...);                                    \
    EXPORT int name(int dir, const char *path, int flags, ...)                                     \
    {                                                                                              \
        va_list args;                                                                              \
        mode_t mode;                                                                               \
                                                                                                   \
        init();                                                                                    \
        va_start(args, flags);                                                                     \
        mode = mode_of(flags, args);                                                               \
        va_end(args);                                                                              \
        if (device_named(path))                                                                    \
            return open_device(device_named(path), flags);                                         \
        return real.openat(dir, path, flags, mode);                                                \
    }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    struct connection *c;
    va_list args;
    void *arg;

    init();
    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    c = connection_of(fd);
    return c ? privcmd_ioctl(c, request, arg) : real.ioctl(fd, request, arg);
}

static void *map_device(enum device device, void *addr, size_t bytes, int prot)
{
    void *p;

    if (device == DEVICE_PRIVCMD)
        return reserve(addr, bytes, prot);
    pthread_mutex_lock(&client.lock);
    p = arena_alloc(bytes);
    pthread_mutex_unlock(&client.lock);
    if (p == MAP_FAILED)
        errno = ENOMEM;
    return p;
}

EXPORT void *mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    init();
    if (device_of(fd))
        return map_device(device_of(fd), addr, bytes, prot);
    return real.mmap(addr, bytes, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
    return mmap(addr, bytes, prot, flags, fd, offset);
}

EXPORT int munmap(void *addr, size_t bytes)
{
    init();
    if (!client.open)
        return real.munmap(addr, bytes);
    if (in_arena(addr))
        return arena_free(addr, bytes);
    return release(addr, bytes);
}

EXPORT int close(int fd)
{
    init();
    forget_fd(fd);
    return real.close(fd);
}

EXPORT int dup(int fd)
{
    init();

    int new = real.dup(fd);

    share_fd(fd, new);
    return new;
}

EXPORT int dup2(int fd, int to)
{
    init();
    if (fd != to)
        forget_fd(to);

    int new = real.dup2(fd, to);

    share_fd(fd, new);
    return new;
}

EXPORT int dup3(int fd, int to, int flags)
{
    init();
    if (fd != to)
        forget_fd(to);

    int new = real.dup3(fd, to, flags);

    share_fd(fd, new);
    return new;
}
