/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/acceptor.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/packet.h"
#include "cmd/xmigrate/session/crowd.h"
#include "transport/tcp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_TEXT_BYTES = 80, ACCEPT_AT_ONCE = 32 };

/* Sixteen bytes into an empty socket. */
#define ANSWER_LIMIT_NS (100 * NS_PER_MS)
/* It forks, and passes a packet to a process that reads all the time. */
#define ROUTER_LIMIT_NS (5 * NS_PER_S)
/* Out of descriptors or memory: it passes, and spinning would not help. */
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

struct pending {
    int fd;
    bool refused; /* and told so: what it has sent besides is thrown away, until it has read that */
    int64_t deadline_ns;
    struct preamble_reader reader;
    char peer[PEER_TEXT_BYTES];
};

struct acceptor {
    const struct acceptor_params *p;
    struct pending pending[ACCEPTOR_MAX_PENDING]; /* oldest first */
    struct crowd_address from[ACCEPTOR_MAX_PENDING];
    unsigned pending_count;
};

/* --- connections --- */

static struct pending take_pending(struct acceptor *a, unsigned i)
{
    const struct pending c = a->pending[i];
    const unsigned behind = --a->pending_count - i;

    memmove(a->pending + i, a->pending + i + 1, behind * sizeof(c));
    memmove(a->from + i, a->from + i + 1, behind * sizeof(a->from[0]));
    return c;
}

static void drop_pending(struct acceptor *a, unsigned i, const char *why)
{
    const struct pending c = take_pending(a, i);

    log_debug(a->p->log, "%s: dropped: %s", c.peer, why);
    close(c.fd);
}

static void add_pending(struct acceptor *a, const struct pending *c)
{
    static const struct crowd_limits limits = {
        .per_address = ACCEPTOR_MAX_PENDING_PER_ADDRESS,
        .in_all = ACCEPTOR_MAX_PENDING,
    };
    const struct crowd_address from = crowd_address_of(c->fd);
    const int victim = crowd_victim(a->from, a->pending_count, &from, &limits);

    if (victim >= 0)
        drop_pending(a, (unsigned)victim, "too many connections are waiting");
    a->from[a->pending_count] = from;
    a->pending[a->pending_count++] = *c;
}

static void refuse(struct acceptor *a, struct pending *c, const struct preamble *preamble,
    enum preamble_status status)
{
    struct err why = ERR_INIT, ignored = ERR_INIT;

    preamble_explain_refusal(preamble, status, &why);
    log_warn(a->p->log, "%s: refused: %s", c->peer, why.text);
    preamble_answer(c->fd, status, NULL, deadline_in(ANSWER_LIMIT_NS), &ignored);
    /* Closed now, with bytes that were not read, it would lose the answer. */
    shutdown(c->fd, SHUT_WR);
    c->refused = true;
    c->deadline_ns = deadline_in(TCP_LINGER_NS);
    add_pending(a, c);
}

/* The router takes it, or says why not. */
static int ask_router(
    struct acceptor *a, const struct pending *c, enum preamble_status *status, struct err *e)
{
    const int64_t deadline_ns = deadline_in(ROUTER_LIMIT_NS);
    uint8_t verdict;
    int fd;
    ssize_t n = packet_send(
        a->p->router_sock, c->reader.bytes, PREAMBLE_BYTES, c->fd, NULL, deadline_ns);

    if (!n)
        n = packet_recv(a->p->router_sock, &verdict, sizeof(verdict), &fd, NULL, deadline_ns);
    if (n == -ENODATA || n == -EPIPE || n == -ECONNRESET)
        return -ENODATA;
    if (n < 0)
        return err_set(e, ERR_INTERNAL, (int)-n, "asking the listener: %s", io_strerror((int)n));
    *status = verdict;
    return 0;
}

/* A complete preamble. The connection has left its place among the pending. */
static int pass_on(
    struct acceptor *a, struct pending *c, const struct preamble *preamble, struct err *e)
{
    enum preamble_status status = preamble_judge(preamble, a->p->insecure);
    const int rc = status == PREAMBLE_OK ? ask_router(a, c, &status, e) : 0;

    if (!rc && status != PREAMBLE_OK)
        refuse(a, c, preamble, status);
    else
        close(c->fd);
    return rc;
}

static void read_refused(struct acceptor *a, unsigned i)
{
    uint8_t thrown_away[4096];
    const ssize_t n = io_read_some(a->pending[i].fd, thrown_away, sizeof(thrown_away));

    if ((n <= 0 && n != -EAGAIN) || deadline_passed(a->pending[i].deadline_ns))
        drop_pending(a, i, "it was refused");
}

static int read_pending(struct acceptor *a, unsigned i, struct err *e)
{
    struct pending *c = &a->pending[i];
    struct preamble preamble;
    struct err why = ERR_INIT;
    const int rc = preamble_read(&c->reader, c->fd, &preamble, &why);

    if (rc == 1) {
        struct pending taken = take_pending(a, i);

        return pass_on(a, &taken, &preamble, e);
    }
    if (rc < 0)
        drop_pending(a, i, why.text);
    else if (deadline_passed(c->deadline_ns))
        drop_pending(a, i, "its preamble did not come in time");
    return 0;
}

/* In the order in which they came: the router goes by it, too. */
static int read_all(struct acceptor *a, struct err *e)
{
    unsigned i = 0;
    int rc = 0;

    while (i < a->pending_count && !rc) {
        const int fd = a->pending[i].fd;

        if (a->pending[i].refused)
            read_refused(a, i);
        else
            rc = read_pending(a, i, e);
        if (i < a->pending_count && a->pending[i].fd == fd)
            i++; /* else the next one has its place */
    }
    return rc;
}

/* False when the listening socket is of no use for now. */
static bool accept_some(struct acceptor *a)
{
    for (unsigned i = 0; i < ACCEPT_AT_ONCE; i++) {
        struct pending c = {.deadline_ns = deadline_in(a->p->preamble_ns)};

        c.fd = accept4(a->p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (c.fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
            return true;
        if (c.fd < 0) {
            log_warn(a->p->log, "cannot accept a connection: %s", strerror(errno));
            return false;
        }
        tcp_describe_peer(c.fd, c.peer, sizeof(c.peer));
        add_pending(a, &c);
    }
    return true;
}

/* --- the loop --- */

enum { POLL_ROUTER, POLL_LISTEN, POLL_FIXED, POLL_MAX = POLL_FIXED + ACCEPTOR_MAX_PENDING };

static int wait_for_work(struct acceptor *a, int64_t accept_after_ns, struct pollfd *fds)
{
    const bool accepting = deadline_passed(accept_after_ns);
    int64_t wake_ns = accepting ? DEADLINE_NEVER : accept_after_ns;
    unsigned n = POLL_FIXED;

    fds[POLL_ROUTER] = (struct pollfd){.fd = a->p->router_sock, .events = POLLIN};
    fds[POLL_LISTEN] = (struct pollfd){.fd = accepting ? a->p->listen_fd : -1, .events = POLLIN};
    for (unsigned i = 0; i < a->pending_count; i++) {
        fds[n++] = (struct pollfd){.fd = a->pending[i].fd, .events = POLLIN};
        wake_ns = deadline_earlier(wake_ns, a->pending[i].deadline_ns);
    }
    return poll(fds, n, deadline_poll_ms(wake_ns)) < 0 && errno != EINTR ? -errno : 0;
}

int acceptor_run(const struct acceptor_params *p, struct err *e)
{
    struct acceptor *a = calloc(1, sizeof(*a));
    int64_t accept_after_ns = 0;
    int rc = 0;

    if (!a)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the acceptor");
    a->p = p;
    while (!rc) {
        struct pollfd fds[POLL_MAX];

        rc = wait_for_work(a, accept_after_ns, fds);
        if (rc)
            err_sys(e, ERR_LOCAL, -rc, "waiting for connections");
        else if (fds[POLL_ROUTER].revents)
            rc = -ENODATA; /* it never speaks first */
        else
            rc = read_all(a, e);
        if (!rc && fds[POLL_LISTEN].revents && !accept_some(a))
            accept_after_ns = deadline_in(ACCEPT_PAUSE_NS);
    }
    while (a->pending_count)
        drop_pending(a, 0, "the listener stops");
    free(a);
    return rc == -ENODATA ? 0 : rc;
}
