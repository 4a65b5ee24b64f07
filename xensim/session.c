#include "xensim/session.h"
#include "xensim/command.h"
#include "xensim/hypervisor/hypercall.h"
#include "xensim/hypervisor/pagetype.h"
#include "xensim/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* A client that holds more mappings than this has probably let go of most. */
enum { SWEEP_MAPPINGS = 64 };

static int sealed_memfd(const char *name, uint64_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)bytes) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

static void *map_shared(int fd, uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void session_free(struct session *s)
{
    if (s->arena)
        munmap(s->arena, ARENA_BYTES);
    if (s->releases)
        munmap((void *)s->releases, MAX_MAPPINGS);
    for (int i = 1; i < 3; i++)
        if (s->fds[i] >= 0)
            close(s->fds[i]);
    free(s->mappings);
    free(s->free_slots);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void session_put(struct session *s)
{
    if (atomic_fetch_sub(&s->refs, 1) == 1)
        session_free(s);
}

static struct session *session_new(struct host *h, int64_t pid, uint64_t arena_client)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    atomic_init(&s->refs, 1);
    s->host = h;
    s->pid = pid;
    s->arena_client = arena_client;
    s->fds[0] = h->machine.fd;
    s->fds[1] = sealed_memfd("xensim-arena", ARENA_BYTES);
    s->fds[2] = sealed_memfd("xensim-releases", MAX_MAPPINGS);
    s->mappings = calloc(MAX_MAPPINGS, sizeof(*s->mappings));
    s->free_slots = calloc(MAX_MAPPINGS, sizeof(*s->free_slots));
    if (s->fds[1] >= 0)
        s->arena = map_shared(s->fds[1], ARENA_BYTES);
    if (s->fds[2] >= 0)
        s->releases = map_shared(s->fds[2], MAX_MAPPINGS);
    if (!s->arena || !s->releases || !s->mappings || !s->free_slots) {
        session_free(s);
        return NULL;
    }
    for (uint32_t i = 0; i < MAX_MAPPINGS; i++)
        s->free_slots[s->nr_free_slots++] = MAX_MAPPINGS - 1 - i;

    pthread_mutex_lock(&h->sessions_lock);
    s->token = ++h->next_token * 0x9E3779B97F4A7C15ull ^ (uint64_t)pid;
    s->next = h->sessions;
    h->sessions = s;
    pthread_mutex_unlock(&h->sessions_lock);
    return s;
}

static struct session *session_by_token(struct host *h, uint64_t token)
{
    struct session *s;

    pthread_mutex_lock(&h->sessions_lock);
    for (s = h->sessions; s; s = s->next)
        if (s->token == token) {
            atomic_fetch_add(&s->refs, 1);
            break;
        }
    pthread_mutex_unlock(&h->sessions_lock);
    return s;
}

/* Caller holds the domain's lock. */
static void drop_reference(struct mapping *map, uint64_t mfn)
{
    struct machine *m = map->domain->machine;

    if (map->typed && m->frames[mfn].owner == map->domain->id)
        page_put_type(map->domain, mfn);
    frame_put_map_ref(m, mfn);
}

/* Caller holds the domain's lock (if the mapping has a domain). */
static void drop_references(struct mapping *map)
{
    for (uint32_t i = 0; map->domain && i < map->nr_mfns; i++) {
        uint64_t mfn = map->mfns ? map->mfns[i] : map->first_mfn + i;

        if (mfn)
            drop_reference(map, mfn);
    }
    free(map->mfns);
    map->mfns = NULL;
}

/* Take slot i out of the table. Caller holds session->lock. */
static struct mapping detach_slot(struct session *s, uint32_t i)
{
    struct mapping map = s->mappings[i];

    s->mappings[i] = (struct mapping){0};
    atomic_store(&s->releases[i], 0);
    s->free_slots[s->nr_free_slots++] = i;
    return map;
}

static void drop_mapping(struct mapping *map)
{
    if (map->domain)
        pthread_mutex_lock(&map->domain->lock);
    drop_references(map);
    if (map->domain) {
        pthread_mutex_unlock(&map->domain->lock);
        domain_put(map->domain);
    }
}

/* Detach one released (or, for a dead session, any) mapping at a time, so that no lock is held
 * when the domain's is taken. */
static void sweep(struct session *s, bool all)
{
    uint32_t at = 0;

    for (;;) {
        struct mapping map = {0};

        pthread_mutex_lock(&s->lock);
        while (at < s->high_slot && !map.live) {
            if (s->mappings[at].live && (all || atomic_load(&s->releases[at])))
                map = detach_slot(s, at);
            at++;
        }
        pthread_mutex_unlock(&s->lock);
        if (!map.live)
            return;
        drop_mapping(&map);
    }
}

void session_sweep(struct session *s)
{
    sweep(s, false);
}

void host_sweep_mappings(struct host *h, struct domain *d)
{
    pthread_mutex_lock(&h->sessions_lock);
    for (struct session *s = h->sessions; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        for (uint32_t i = 0; i < s->high_slot; i++) {
            if (!s->mappings[i].live || s->mappings[i].domain != d || !atomic_load(&s->releases[i]))
                continue;

            struct mapping map = detach_slot(s, i);

            drop_references(&map);
            /* Whoever called holds a reference of their own: this is not the last. */
            domain_put(d);
        }
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&h->sessions_lock);
}

/* The process is gone: everything it held goes. */
static void session_end(struct session *s)
{
    struct host *h = s->host;

    pthread_mutex_lock(&h->sessions_lock);
    for (struct session **p = &h->sessions; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    pthread_mutex_unlock(&h->sessions_lock);
    pthread_mutex_lock(&s->lock);
    s->dead = true;
    pthread_mutex_unlock(&s->lock);
    sweep(s, true);
    session_put(s);
}

void *session_pointer(struct session *s, uint64_t va, uint64_t bytes)
{
    if (!s || va < s->arena_client || bytes > ARENA_BYTES ||
        va - s->arena_client > ARENA_BYTES - bytes)
        return NULL;
    return s->arena + (va - s->arena_client);
}

int session_write(struct session *s, uint64_t va, const void *data, size_t bytes)
{
    void *p = session_pointer(s, va, bytes);
    struct iovec from = {(void *)(uintptr_t)data, bytes};
    struct iovec to = {(void *)(uintptr_t)va, bytes};

    if (p) {
        memcpy(p, data, bytes);
        return 0;
    }
    if (process_vm_writev((pid_t)s->pid, &from, 1, &to, 1, 0) == (ssize_t)bytes)
        return 0;
    host_log_rate(s->host, "cannot write to %#llx of process %d: %s", (unsigned long long)va,
        (int)s->pid, strerror(errno));
    return -EFAULT;
}

/* What map_pages goes through with: in and out are in the window. */
struct map_request {
    uint64_t *gfns; /* become MFNs, 0 where there is none */
    int32_t *errs;  /* written once one page failed */
    uint32_t count, failed;
};

static void page_fails(struct map_request *r, uint32_t i, int32_t error)
{
    if (!r->failed++)
        memset(r->errs, 0, r->count * sizeof(*r->errs));
    r->errs[i] = error;
    r->gfns[i] = 0;
}

/* Xen's own frames can be looked at (M2P), never written. */
static void map_xens(struct host *h, bool writable, struct map_request *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t mfn = r->gfns[i]; /* once: the client could change it meanwhile */

        if (writable || !mfn_valid(&h->machine, mfn) || h->machine.frames[mfn].owner != OWNER_XEN)
            page_fails(r, i, -EINVAL);
        else
            r->gfns[i] = mfn;
    }
}

/* The mapping's frames are no row any more: i of them were. */
static int list_mfns(struct mapping *map, uint32_t count, uint32_t i)
{
    map->mfns = malloc(count * sizeof(*map->mfns));
    if (!map->mfns)
        return -ENOMEM;
    for (uint32_t k = 0; k < i; k++)
        map->mfns[k] = map->first_mfn + k;
    return 0;
}

/* Caller holds the domain's lock. What is held when it fails is in map all the same. */
static int take_references(struct mapping *map, struct map_request *r)
{
    struct domain *d = map->domain;

    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t mfn = domain_gfn_to_mfn(d, r->gfns[i]);
        bool busy = mfn && map->typed && page_get_type(d, mfn, PT_WRITABLE);

        if (!mfn || busy) {
            page_fails(r, i, busy ? -EBUSY : -EINVAL);
            mfn = 0;
        } else {
            d->machine->frames[mfn].map_refs++;
            r->gfns[i] = mfn;
        }
        if (!i)
            map->first_mfn = (uint32_t)mfn;
        if (!map->mfns && (!mfn || mfn != (uint64_t)map->first_mfn + i) &&
            list_mfns(map, r->count, i)) {
            if (mfn)
                drop_reference(map, mfn);
            return -ENOMEM;
        }
        if (map->mfns)
            map->mfns[i] = (uint32_t)mfn;
        map->nr_mfns = i + 1;
    }
    return 0;
}

static uint32_t mappings_held(struct session *s)
{
    uint32_t held;

    pthread_mutex_lock(&s->lock);
    held = MAX_MAPPINGS - s->nr_free_slots;
    pthread_mutex_unlock(&s->lock);
    return held;
}

static int64_t take_slot(struct session *s, struct mapping *map)
{
    int64_t slot = -ENOSPC;

    pthread_mutex_lock(&s->lock);
    if (s->dead)
        slot = -EPIPE;
    else if (s->nr_free_slots) {
        slot = s->free_slots[--s->nr_free_slots];
        s->mappings[slot] = *map;
        if ((uint32_t)slot >= s->high_slot)
            s->high_slot = (uint32_t)slot + 1;
    }
    pthread_mutex_unlock(&s->lock);
    return slot;
}

/* gfns in the window become MFNs and errors. Returns the slot, or a negative errno. */
static int64_t map_pages(
    struct conn *c, uint16_t domid, bool writable, uint64_t count, uint32_t *failed)
{
    struct session *s = c->session;
    struct map_request r = {.gfns = (uint64_t *)c->window,
        .errs = (int32_t *)(c->window + WINDOW_ERRORS),
        .count = (uint32_t)count};
    struct mapping map = {.live = true};
    int64_t slot = 0;

    if (!s || !c->window || !count || count > MAX_MAP_PAGES)
        return -EINVAL;
    if (mappings_held(s) > SWEEP_MAPPINGS)
        session_sweep(s);
    if (domid == DOMID_XEN) {
        map_xens(s->host, writable, &r);
    } else {
        map.domain = domain_get(s->host, domid);
        if (!map.domain)
            return -ESRCH;
        map.typed = writable && !map.domain->hvm;
        pthread_mutex_lock(&map.domain->lock);
        slot = take_references(&map, &r);
        pthread_mutex_unlock(&map.domain->lock);
    }
    if (!slot)
        slot = take_slot(s, &map);
    if (slot < 0)
        drop_mapping(&map);
    *failed = r.failed;
    return slot;
}

/* A grant frame, made when it is first asked for. Caller holds d->lock. -errno, or 0. */
static int grant_frame(struct domain *d, uint64_t i, uint64_t *mfn)
{
    if (i >= d->max_grant_frames)
        return -EINVAL;
    if (!d->grant_mfns[i]) {
        d->grant_mfns[i] = domain_alloc_special(d);
        if (!d->grant_mfns[i])
            return -ENOMEM;
        memset(frame_ptr(d->machine, d->grant_mfns[i]), 0, PAGE_BYTES);
    }
    *mfn = d->grant_mfns[i];
    return 0;
}

/* The slot, how many frames there are if none is wanted, or a negative errno. */
static int64_t map_resource(struct conn *c, const uint64_t *arg)
{
    struct session *s = c->session;
    uint64_t *mfns = (uint64_t *)c->window;
    uint64_t first = arg[3], count = arg[4];
    struct mapping map = {.live = true, .nr_mfns = (uint32_t)count};

    if (!s || !c->window || count > MAX_GRANT_FRAMES || first > MAX_GRANT_FRAMES)
        return -EINVAL;
    if (arg[1] != XENMEM_resource_grant_table || arg[2] != XENMEM_resource_grant_table_id_shared)
        return -EOPNOTSUPP;

    struct domain *d = domain_get(c->host, (uint16_t)arg[0]);

    if (!d)
        return -ESRCH;
    if (!count) { /* asks for the size */
        int64_t frames = d->max_grant_frames;

        domain_put(d);
        return frames;
    }

    map.mfns = calloc(count, sizeof(*map.mfns));
    if (!map.mfns) {
        domain_put(d);
        return -ENOMEM;
    }
    map.domain = d;

    int64_t rc = 0;

    pthread_mutex_lock(&d->lock);
    for (uint64_t i = 0; i < count && !rc; i++) {
        rc = grant_frame(d, first + i, &mfns[i]);
        if (rc)
            break;
        map.mfns[i] = (uint32_t)mfns[i];
        d->machine->frames[mfns[i]].map_refs++;
    }
    pthread_mutex_unlock(&d->lock);
    if (!rc)
        rc = take_slot(s, &map);
    if (rc < 0)
        drop_mapping(&map);
    return rc;
}

static int open_session(struct conn *c, const struct proto_request *req)
{
    struct proto_reply reply = {0};

    if (c->session || req->arg[0] != PROTO_VERSION) {
        reply.result = -EPROTO;
        return wire_send(c->sock, &reply, sizeof(reply), NULL, 0, NULL, 0);
    }
    c->session = session_new(c->host, (int64_t)req->arg[1], req->arg[2]);
    c->controls = c->session != NULL;
    reply.result = c->session ? 0 : -ENOMEM;
    reply.value = c->session ? c->session->token : 0;
    reply.daemon_pid = (uint32_t)getpid();

    int rc = wire_send(c->sock, &reply, sizeof(reply), NULL, 0, c->session ? c->session->fds : NULL,
        c->session ? 3 : 0);

    /* Ours are mapped; only the machine's descriptor stays open, and that is the host's. */
    for (int i = 1; c->session && i < 3; i++) {
        close(c->session->fds[i]);
        c->session->fds[i] = -1;
    }
    return rc;
}

static int open_connection(struct conn *c, const struct proto_request *req)
{
    struct proto_reply reply = {0};
    int fd = -1;

    if (!c->session)
        c->session = session_by_token(c->host, req->arg[0]);
    if (!c->session || c->window)
        reply.result = -EPROTO;
    else
        fd = sealed_memfd("xensim-window", WINDOW_BYTES);
    if (!reply.result && fd < 0)
        reply.result = fd;
    if (fd >= 0)
        c->window = map_shared(fd, WINDOW_BYTES);

    int rc = wire_send(c->sock, &reply, sizeof(reply), NULL, 0, &fd, fd >= 0 ? 1 : 0);

    if (fd >= 0)
        close(fd);
    return rc;
}

/* Once each: libxenctrl tries two of them whenever it is opened. */
static void log_unknown_ioctl(struct host *h, uint8_t number)
{
    uint64_t bit = 1ull << (number % 64);

    if (!(atomic_fetch_or(&h->unknown_ioctls[number / 64], bit) & bit))
        host_log(h, "privcmd ioctl %u is not modelled", number);
}

static int answer(struct conn *c, const struct proto_request *req, uint8_t *data)
{
    struct proto_reply reply = {0};
    const void *out = NULL;
    char *text = NULL;

    switch (req->op) {
    case OP_SESSION:
        return open_session(c, req);
    case OP_CONNECT:
        return open_connection(c, req);
    case OP_HYPERCALL:
        reply.result = hypercall(c->host, c->session, req->arg[0], &req->arg[1]);
        break;
    case OP_MAP: {
        uint32_t failed = 0;
        int64_t slot = map_pages(c, (uint16_t)req->arg[0], req->arg[1] != 0, req->arg[2], &failed);

        reply.result = slot < 0 ? slot : failed;
        reply.value = slot < 0 ? 0 : (uint64_t)slot;
        break;
    }
    case OP_MAP_RESOURCE: {
        int64_t answer_or_slot = map_resource(c, req->arg);

        reply.result = answer_or_slot < 0 || !req->arg[4] ? answer_or_slot : 0;
        reply.value = answer_or_slot < 0 ? 0 : (uint64_t)answer_or_slot;
        break;
    }
    case OP_UNKNOWN_IOCTL:
        log_unknown_ioctl(c->host, (uint8_t)req->arg[0]);
        break;
    case OP_COMMAND:
        reply.result = command_run(c->host, c->sock, (char *)data, req->data_bytes, &text);
        out = text;
        reply.data_bytes = text ? (uint32_t)strlen(text) : 0;
        break;
    default:
        reply.result = -ENOSYS;
    }
    if (reply.data_bytes > PROTO_MAX_DATA)
        reply.data_bytes = PROTO_MAX_DATA;

    int rc = wire_send(c->sock, &reply, sizeof(reply), out, reply.data_bytes, NULL, 0);

    free(text);
    return rc;
}

void *conn_serve(void *arg)
{
    struct conn *c = arg;
    uint8_t *data = malloc(PROTO_MAX_DATA + 1);

    for (;;) {
        struct proto_request req;
        size_t data_bytes = PROTO_MAX_DATA;

        if (!data || wire_recv(c->sock, &req, sizeof(req), data, &data_bytes, NULL, 0) ||
            data_bytes != req.data_bytes)
            break;
        data[data_bytes] = '\0';
        if (answer(c, &req, data))
            break;
    }
    free(data);
    close(c->sock);
    if (c->window)
        munmap(c->window, WINDOW_BYTES);
    if (c->session && c->controls)
        session_end(c->session);
    else if (c->session)
        session_put(c->session);
    free(c);
    return NULL;
}
