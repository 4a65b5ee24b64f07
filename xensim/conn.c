/* SPDX-License-Identifier: MIT */
#include "xensim/conn.h"
#include "xensim/command.h"
#include "xensim/hypervisor/hypercall.h"
#include "xensim/proto.h"
#include "xensim/shared.h"
#include "xensim/wire.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct conn {
    struct sessions *sessions;
    struct host *host;
    int sock;
    struct session *session; /* NULL for commands and before OP_SESSION or OP_CONNECT */
    bool controls;           /* this is the session's control connection */
    uint8_t *window;
};

/* gfns in the window become MFNs and errors. Returns the slot, or a negative errno. */
static int64_t map_pages(
    struct conn *c, uint16_t domid, bool writable, uint64_t count, uint32_t *failed)
{
    struct map_request r = {.gfns = (uint64_t *)c->window,
        .errs = (int32_t *)(c->window + WINDOW_ERRORS),
        .count = (uint32_t)count};
    int64_t slot;

    if (!c->session || !c->window || !count || count > MAX_MAP_PAGES)
        return -EINVAL;
    slot = mappings_map_pages(&c->session->mappings, c->host, domid, writable, &r);
    *failed = r.failed;
    return slot;
}

/* The slot; how many frames there are, if none is wanted; or a negative errno. */
static int64_t map_resource(struct conn *c, const uint64_t *arg)
{
    uint64_t first = arg[3], count = arg[4];
    int64_t rc;

    if (!c->session || !c->window || count > MAX_GRANT_FRAMES || first > MAX_GRANT_FRAMES)
        return -EINVAL;
    if (arg[1] != XENMEM_resource_grant_table || arg[2] != XENMEM_resource_grant_table_id_shared)
        return -EOPNOTSUPP;

    struct domain *d = domain_get(c->host, (uint16_t)arg[0]);

    if (!d)
        return -ESRCH;
    rc = count ? mappings_map_grants(&c->session->mappings, d, first, count, (uint64_t *)c->window)
               : d->max_grant_frames;
    domain_put(d);
    return rc;
}

static int open_session(struct conn *c, const struct proto_request *req)
{
    struct proto_reply reply = {0};

    if (c->session || req->arg[0] != PROTO_VERSION) {
        reply.result = -EPROTO;
        return wire_send(c->sock, &reply, sizeof(reply), NULL, 0, NULL, 0);
    }
    c->session = session_new(c->sessions, (int64_t)req->arg[1], req->arg[2]);
    c->controls = c->session != NULL;
    reply.result = c->session ? 0 : -ENOMEM;
    reply.value = c->session ? c->session->token : 0;
    reply.daemon_pid = (uint32_t)getpid();

    int rc = wire_send(c->sock, &reply, sizeof(reply), NULL, 0, c->session ? c->session->fds : NULL,
        c->session ? 3 : 0);

    /* The memory is mapped: only the machine's descriptor stays open, which is the host's. */
    for (int i = 1; c->session && i < 3; i++) {
        close(c->session->fds[i]);
        c->session->fds[i] = -1;
    }
    return rc;
}

static int open_connection(struct conn *c, const struct proto_request *req)
{
    struct proto_reply reply = {0};
    void *window = NULL;
    int fd = -1;

    if (!c->session)
        c->session = session_by_token(c->sessions, req->arg[0]);
    if (!c->session || c->window)
        reply.result = -EPROTO;
    else
        fd = shared_create("xensim-window", WINDOW_BYTES, &window);
    if (!reply.result && fd < 0)
        reply.result = fd;
    if (window)
        c->window = window;

    int rc = wire_send(c->sock, &reply, sizeof(reply), NULL, 0, &fd, fd >= 0 ? 1 : 0);

    if (fd >= 0)
        close(fd);
    return rc;
}

/* Once each: libxenctrl tries two of them every time it is opened. */
static void log_unknown_ioctl(struct sessions *all, uint8_t number)
{
    uint64_t bit = 1ull << (number % 64);

    if (!(atomic_fetch_or(&all->unknown_ioctls[number / 64], bit) & bit))
        host_log(all->host, "privcmd ioctl %u is not modelled", number);
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
        reply.result = c->session ? hypercall(&c->session->caller, req->arg[0], &req->arg[1])
                                  : -EPERM;
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
        log_unknown_ioctl(c->sessions, (uint8_t)req->arg[0]);
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

static void *serve(void *arg)
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

int conn_start(struct sessions *sessions, int sock)
{
    struct conn *c = calloc(1, sizeof(*c));
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    if (!c) {
        close(sock);
        return -ENOMEM;
    }
    c->sessions = sessions;
    c->host = sessions->host;
    c->sock = sock;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, serve, c);
    pthread_attr_destroy(&attr);
    if (rc) {
        close(sock);
        free(c);
    }
    return -rc;
}
