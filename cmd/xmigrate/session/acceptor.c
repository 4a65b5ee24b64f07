/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/acceptor.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/packet.h"
#include "cmd/signals.h"
#include "transport/tcp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_TEXT_BYTES = 80 };

/* Sixteen bytes into an empty socket, a packet to a process that reads all the time. */
#define SEND_LIMIT_NS (100 * NS_PER_MS)
/* Out of descriptors or memory: it passes, and spinning would not help. */
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

struct pending {
    int fd;
    bool refused; /* and told so: what it has sent besides is thrown away, until it has read that */
    int64_t deadline_ns;
    struct preamble_reader reader;
    char peer[PEER_TEXT_BYTES];
};

struct child {
    int sock;
    pid_t pid;
    bool registered;
    uint8_t session[PREAMBLE_SESSION_BYTES];
};

struct acceptor {
    const struct acceptor_params *p;
    struct pending pending[ACCEPTOR_MAX_PENDING]; /* oldest first */
    unsigned pending_count;
    struct child children[ACCEPTOR_MAX_CHILDREN];
    unsigned child_count;
};

/* --- the child's side --- */

int acceptor_register(
    int acceptor_sock, const uint8_t session[static PREAMBLE_SESSION_BYTES], struct err *e)
{
    const int rc = packet_send(
        acceptor_sock, session, PREAMBLE_SESSION_BYTES, -1, NULL, deadline_in(SEND_LIMIT_NS));

    return rc ? err_set(e, ERR_LOCAL, -rc, "cannot tell the listener of the session: %s",
                    io_strerror(rc))
              : 0;
}

int acceptor_next(int acceptor_sock, uint8_t preamble[static PREAMBLE_BYTES], int *fd,
    int64_t deadline_ns, struct err *e)
{
    const ssize_t n = packet_recv(acceptor_sock, preamble, PREAMBLE_BYTES, fd, NULL, deadline_ns);

    if (n == PREAMBLE_BYTES && *fd >= 0)
        return 0;
    if (n == -ENODATA || n == -ECONNRESET)
        return -ENODATA;
    if (n == -ETIMEDOUT)
        return -ETIMEDOUT;
    if (n >= 0 && *fd >= 0)
        close(*fd);
    *fd = -1;
    return err_set(e, ERR_INTERNAL, n < 0 ? (int)-n : EPROTO, "reading from the listener: %s",
        n < 0 ? io_strerror((int)n) : "that makes no sense");
}

/* --- children --- */

static void drop_child(struct acceptor *a, unsigned i)
{
    close(a->children[i].sock);
    a->children[i] = a->children[--a->child_count];
}

static struct child *find_session(struct acceptor *a, const uint8_t *session)
{
    for (unsigned i = 0; i < a->child_count; i++)
        if (a->children[i].registered &&
            !memcmp(a->children[i].session, session, PREAMBLE_SESSION_BYTES))
            return &a->children[i];
    return NULL;
}

/* False: the child is gone, or talks nonsense and might as well be. */
static bool hear_child(struct acceptor *a, struct child *c)
{
    uint8_t session[PREAMBLE_SESSION_BYTES];
    int fd;
    const ssize_t n = packet_recv(c->sock, session, sizeof(session), &fd, NULL, now_ns());

    if (n == -ETIMEDOUT)
        return true;
    if (fd >= 0)
        close(fd);
    if (n != sizeof(session) || c->registered || find_session(a, session))
        return false;
    memcpy(c->session, session, sizeof(session));
    c->registered = true;
    return true;
}

static void hear_children(struct acceptor *a)
{
    for (unsigned i = a->child_count; i-- > 0;)
        if (!hear_child(a, &a->children[i]))
            drop_child(a, i);
}

static unsigned count_starting(const struct acceptor *a)
{
    unsigned count = 0;

    for (unsigned i = 0; i < a->child_count; i++)
        count += !a->children[i].registered;
    return count;
}

/* Everything of the acceptor's that a child has no business with. */
static void close_inherited(struct acceptor *a)
{
    close(a->p->listen_fd);
    for (unsigned i = 0; i < a->pending_count; i++)
        close(a->pending[i].fd);
    for (unsigned i = 0; i < a->child_count; i++)
        close(a->children[i].sock);
}

/* Takes over c->fd, which is no longer among the pending. */
static int start_child(
    struct acceptor *a, const struct pending *c, const struct preamble *preamble, struct err *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair");

    const pid_t pid = fork();

    if (pid < 0) {
        const int rc = err_sys(e, ERR_LOCAL, errno, "cannot start a process");

        close(pair[0]);
        close(pair[1]);
        return rc;
    }
    if (!pid) {
        signals_reset();
        setsid(); /* it outlives the acceptor and its terminal */
        close_inherited(a);
        close(pair[0]);
        _exit(a->p->serve(a->p->arg, c->fd, preamble, pair[1]));
    }
    close(pair[1]);
    a->children[a->child_count++] = (struct child){.sock = pair[0], .pid = pid};
    log_debug(a->p->log, "%s: process %d takes care of it", c->peer, (int)pid);
    return 0;
}

/* --- connections --- */

static struct pending take_pending(struct acceptor *a, unsigned i)
{
    const struct pending c = a->pending[i];

    a->pending_count--;
    memmove(a->pending + i, a->pending + i + 1, (a->pending_count - i) * sizeof(c));
    return c;
}

static void refuse(struct acceptor *a, const struct pending *c, const struct preamble *preamble,
    enum preamble_status status)
{
    struct err why = ERR_INIT, ignored = ERR_INIT;

    preamble_explain_refusal(preamble, status, &why);
    log_warn(a->p->log, "%s: refused: %s", c->peer, why.text);
    preamble_answer(c->fd, status, NULL, deadline_in(SEND_LIMIT_NS), &ignored);
    /* Closed now, with bytes that were not read, it would lose the answer. */
    shutdown(c->fd, SHUT_WR);
    a->pending[a->pending_count] = *c;
    a->pending[a->pending_count].refused = true;
    a->pending[a->pending_count++].deadline_ns = deadline_in(TCP_LINGER_NS);
}

static bool is_new(const struct preamble *p)
{
    static const uint8_t none[PREAMBLE_SESSION_BYTES];

    return p->lane == LANE_CONTROL && !memcmp(p->session, none, sizeof(none));
}

static enum preamble_status start_migration(
    struct acceptor *a, const struct pending *c, const struct preamble *preamble)
{
    struct err e = ERR_INIT;

    if (a->child_count == ACCEPTOR_MAX_CHILDREN || count_starting(a) >= ACCEPTOR_MAX_STARTING)
        return PREAMBLE_BUSY;
    if (start_child(a, c, preamble, &e)) {
        log_error(a->p->log, "%s: %s", c->peer, e.text);
        return PREAMBLE_BUSY;
    }
    return PREAMBLE_OK;
}

static enum preamble_status pass_on(
    struct acceptor *a, const struct pending *c, const struct preamble *preamble)
{
    /* The owner registered before its peer could connect, but perhaps after the last poll. */
    hear_children(a);

    const struct child *owner = find_session(a, preamble->session);

    if (!owner)
        return PREAMBLE_UNKNOWN_SESSION;

    const int rc = packet_send(
        owner->sock, c->reader.bytes, PREAMBLE_BYTES, c->fd, NULL, deadline_in(SEND_LIMIT_NS));

    if (!rc)
        return PREAMBLE_OK;
    log_warn(a->p->log, "%s: process %d does not take it: %s", c->peer, (int)owner->pid,
        io_strerror(rc));
    return rc == -ETIMEDOUT ? PREAMBLE_BUSY : PREAMBLE_UNKNOWN_SESSION;
}

/* A complete preamble: the connection, which has left its place among the pending, is somebody's,
 * or refused. */
static void route(struct acceptor *a, const struct pending *c, const struct preamble *preamble)
{
    enum preamble_status status = preamble_judge(preamble, a->p->insecure);

    if (status == PREAMBLE_OK)
        status = is_new(preamble) ? start_migration(a, c, preamble) : pass_on(a, c, preamble);
    if (status == PREAMBLE_OK)
        close(c->fd);
    else
        refuse(a, c, preamble, status);
}

static void drop_pending(struct acceptor *a, unsigned i, const char *why)
{
    const struct pending c = take_pending(a, i);

    log_debug(a->p->log, "%s: dropped: %s", c.peer, why);
    close(c.fd);
}

static void read_refused(struct acceptor *a, unsigned i)
{
    uint8_t thrown_away[4096];
    const ssize_t n = io_read_some(a->pending[i].fd, thrown_away, sizeof(thrown_away));

    if ((n <= 0 && n != -EAGAIN) || deadline_passed(a->pending[i].deadline_ns))
        drop_pending(a, i, "it was refused");
}

static void read_pending(struct acceptor *a, unsigned i)
{
    struct pending *c = &a->pending[i];
    struct preamble preamble;
    struct err e = ERR_INIT;
    const int rc = preamble_read(&c->reader, c->fd, &preamble, &e);

    if (rc == 1) {
        const struct pending taken = take_pending(a, i);

        route(a, &taken, &preamble);
    } else if (rc < 0) {
        drop_pending(a, i, e.text);
    } else if (deadline_passed(c->deadline_ns)) {
        drop_pending(a, i, "its preamble did not come in time");
    }
}

/* False when the listening socket is of no use for now. */
static bool accept_one(struct acceptor *a)
{
    const int fd = accept4(a->p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return true;
        log_warn(a->p->log, "cannot accept a connection: %s", strerror(errno));
        return false;
    }
    if (a->pending_count == ACCEPTOR_MAX_PENDING)
        drop_pending(a, 0, "too many connections are waiting");

    struct pending *c = &a->pending[a->pending_count++];

    *c = (struct pending){.fd = fd, .deadline_ns = deadline_in(a->p->preamble_ns)};
    tcp_describe_peer(fd, c->peer, sizeof(c->peer));
    return true;
}

/* --- the loop --- */

enum {
    POLL_CANCEL,
    POLL_LISTEN,
    POLL_WAKE,
    POLL_FIXED,
    POLL_MAX = POLL_FIXED + ACCEPTOR_MAX_CHILDREN + ACCEPTOR_MAX_PENDING
};

static int wait_for_work(struct acceptor *a, int64_t accept_after_ns, struct pollfd *fds)
{
    const bool accepting = deadline_passed(accept_after_ns);
    int64_t wake_ns = accepting ? DEADLINE_NEVER : accept_after_ns;
    unsigned n = POLL_FIXED;

    fds[POLL_CANCEL] = (struct pollfd){.fd = a->p->cancel->event_fd, .events = POLLIN};
    fds[POLL_LISTEN] = (struct pollfd){.fd = accepting ? a->p->listen_fd : -1, .events = POLLIN};
    fds[POLL_WAKE] = (struct pollfd){.fd = a->p->wake ? a->p->wake_fd : -1, .events = POLLIN};
    for (unsigned i = 0; i < a->child_count; i++)
        fds[n++] = (struct pollfd){.fd = a->children[i].sock, .events = POLLIN};
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
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the listener");
    a->p = p;
    /* Nobody asks how children ended: the kernel buries them. */
    signal(SIGCHLD, SIG_IGN);
    while (!cancel_is_fired(p->cancel)) {
        struct pollfd fds[POLL_MAX];

        rc = wait_for_work(a, accept_after_ns, fds);
        if (rc) {
            err_sys(e, ERR_LOCAL, -rc, "waiting for connections");
            break;
        }
        if (fds[POLL_WAKE].revents)
            p->wake(p->arg);
        hear_children(a);
        for (unsigned i = a->pending_count; i-- > 0;)
            (a->pending[i].refused ? read_refused : read_pending)(a, i);
        if (fds[POLL_LISTEN].revents && !accept_one(a))
            accept_after_ns = deadline_in(ACCEPT_PAUSE_NS);
    }
    while (a->pending_count)
        drop_pending(a, 0, "the listener stops");
    while (a->child_count)
        drop_child(a, 0);
    free(a);
    return rc;
}
