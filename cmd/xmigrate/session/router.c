/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/router.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/libc.h"
#include "base/packet.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/session/crowd.h"
#include "cmd/xmigrate/session/router_words.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A packet to a process that reads all the time. */
#define SEND_LIMIT_NS (100 * NS_PER_MS)
/* How often it is looked for what is open: at first, and at least. */
#define LOOK_FIRST_NS (10 * NS_PER_S)
#define LOOK_MOST_NS  (300 * NS_PER_S)

enum { MAX_CHILDREN = ROUTER_MAX_HALF_OPEN + ROUTER_MAX_MIGRATIONS };

struct child {
    int sock;
    pid_t pid;
    int pidfd; /* a migration's; -1: it is a relay */
    int conn;  /* a relay's, whose peer is not known yet; -1: it is a migration */
    struct crowd_address from;
    unsigned token_count; /* that were not used yet */
    uint8_t tokens[ROUTER_MAX_TOKENS][PREAMBLE_TOKEN_BYTES];
};

struct router {
    const struct router_params *p;
    struct child children[MAX_CHILDREN]; /* oldest first */
    unsigned count;
    int settler; /* pidfd; -1: none has been started */
    int64_t look_ns, every_ns;
};

/* --- the child's side --- */

static int tell(int sock, const void *said, size_t len_bytes, int fd, struct err *e)
{
    const int rc = packet_send(sock, said, len_bytes, fd, NULL, deadline_in(SEND_LIMIT_NS));

    return rc ? err_set(e, ERR_LOCAL, -rc, "cannot tell the listener of the connection: %s",
                    io_strerror(rc))
              : 0;
}

int router_admit(int sock, const struct caller *a, int fd, struct err *e)
{
    uint8_t said[ROUTER_MAX_SAID_BYTES];

    return tell(sock, said, router_say_admit(a, said), fd, e);
}

int router_register(int sock, unsigned count, const uint8_t *tokens, struct err *e)
{
    uint8_t said[ROUTER_MAX_SAID_BYTES];

    if (count > ROUTER_MAX_TOKENS)
        return err_set(e, ERR_INTERNAL, EINVAL, "more tokens than lanes");
    return tell(sock, said, router_say_register(count, tokens, said), -1, e);
}

int router_next(
    int sock, uint8_t preamble[static PREAMBLE_BYTES], int *fd, int64_t deadline_ns, struct err *e)
{
    const ssize_t n = packet_recv(sock, preamble, PREAMBLE_BYTES, fd, NULL, deadline_ns);

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

static bool is_half_open(const struct child *c)
{
    return c->conn >= 0;
}

static void let_go_of_conn(struct child *c)
{
    if (c->conn >= 0)
        close(c->conn);
    c->conn = -1;
}

static void drop_child(struct router *r, unsigned i)
{
    let_go_of_conn(&r->children[i]);
    close(r->children[i].sock);
    if (r->children[i].pidfd >= 0)
        close(r->children[i].pidfd);
    r->count--;
    memmove(r->children + i, r->children + i + 1, (r->count - i) * sizeof(r->children[0]));
}

/* Whose token it is; it is used up by that. */
static const struct child *use_token(struct router *r, const uint8_t *token)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct child *c = &r->children[i];

        for (unsigned j = 0; j < c->token_count; j++)
            if (!memcmp(c->tokens[j], token, PREAMBLE_TOKEN_BYTES)) {
                memmove(c->tokens[j], c->tokens[--c->token_count], PREAMBLE_TOKEN_BYTES);
                return c;
            }
    }
    return NULL;
}

static unsigned count_migrations(const struct router *r)
{
    unsigned count = 0;

    for (unsigned i = 0; i < r->count; i++)
        count += !is_half_open(&r->children[i]);
    return count;
}

/* Everything of the router's that a child has no business with. */
static void close_inherited(struct router *r)
{
    close(r->p->acceptor_sock);
    while (r->count)
        drop_child(r, r->count - 1);
}

/* A process with a socket to here. 0 in it, with *sock as its end; its pid here, with ours. */
static pid_t fork_child(struct router *r, int *sock, struct err *e)
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
    *sock = pair[!pid];
    close(pair[!!pid]);
    if (!pid) {
        signals_reset();
        setsid(); /* it outlives the listener and its terminal */
        close_inherited(r);
    }
    return pid;
}

/* fd is the router's as long as it is half-open. */
static int start_relay(struct router *r, int fd, const struct preamble *preamble,
    const struct crowd_address *from, struct err *e)
{
    int sock;
    const pid_t pid = fork_child(r, &sock, e);

    if (pid < 0)
        return pid;
    if (!pid)
        _exit(r->p->relay(r->p->arg, fd, preamble, sock));
    r->children[r->count++] = (struct child){
        .sock = sock, .pid = pid, .pidfd = -1, .conn = fd, .from = *from};
    log_debug(r->p->log, "process %d takes care of a new connection", (int)pid);
    return 0;
}

static int start_serving(struct router *r, int fd, const struct caller *caller, struct err *e)
{
    int sock;
    const pid_t pid = fork_child(r, &sock, e);

    if (pid < 0)
        return pid;
    if (!pid)
        _exit(r->p->serve(r->p->arg, fd, caller, sock));
    r->children[r->count++] = (struct child){
        .sock = sock, .pid = pid, .pidfd = pidfd_open(pid, 0), .conn = -1};
    return 0;
}

/* The listener outlives it, and sees to what it left. */
static void look_after(struct router *r, const struct child *c)
{
    const pid_t of = c->pid;
    const int pidfd = c->pidfd < 0 ? -1 : fcntl(c->pidfd, F_DUPFD_CLOEXEC, 0);

    if (pidfd >= 0 && !fork()) {
        signals_reset();
        setsid();
        close_inherited(r);
        _exit(r->p->look_after(r->p->arg, of, pidfd));
    }
    if (pidfd >= 0)
        close(pidfd);
}

/* --- what is open --- */

static bool settler_runs(const struct router *r)
{
    struct pollfd p = {.fd = r->settler, .events = POLLIN};

    return r->settler >= 0 && poll(&p, 1, 0) == 0;
}

static void start_settling(struct router *r)
{
    const pid_t pid = fork();

    if (!pid) {
        signals_reset();
        close_inherited(r);
        _exit(r->p->settle(r->p->arg));
    }
    if (r->settler >= 0)
        close(r->settler);
    r->settler = pid < 0 ? -1 : pidfd_open(pid, 0);
}

static void look_for_open(struct router *r)
{
    if (!r->p->is_open || !deadline_passed(r->look_ns))
        return;
    r->look_ns = deadline_in(LOOK_FIRST_NS);
    if (settler_runs(r))
        return;
    if (!r->p->is_open(r->p->arg)) {
        r->every_ns = LOOK_FIRST_NS;
        return;
    }
    start_settling(r);
    r->look_ns = deadline_in(r->every_ns);
    r->every_ns = deadline_earlier(2 * r->every_ns, LOOK_MOST_NS);
}

/* --- what children say --- */

/* A relay has let somebody in; its part here is over. */
static void admit(struct router *r, const struct caller *a, int fd)
{
    struct err e = ERR_INIT;

    if (count_migrations(r) >= ROUTER_MAX_MIGRATIONS)
        log_error(r->p->log, "%s: too many migrations at once", a->from);
    else if (start_serving(r, fd, a, &e))
        log_error(r->p->log, "%s: %s", a->from, e.text);
}

/* False: there is nothing more to hear from that child, or it talks nonsense. */
static bool heed(struct router *r, unsigned i, const uint8_t *said, size_t len_bytes, int fd)
{
    struct child *c = &r->children[i];
    struct router_said words;
    const enum router_word word = router_understand(said, len_bytes, &words);

    if (word == ROUTER_ADMIT && is_half_open(c) && fd >= 0) {
        admit(r, &words.caller, fd);
        return false;
    }
    if (word == ROUTER_REGISTER && !is_half_open(c)) {
        c->token_count = words.token_count;
        memcpy(c->tokens, words.tokens, sizeof(c->tokens));
        return true;
    }
    log_error(
        r->p->log, "process %d says what makes no sense: its connection is dropped", (int)c->pid);
    return false;
}

static bool hear_child(struct router *r, unsigned i)
{
    uint8_t said[ROUTER_MAX_SAID_BYTES];
    bool more = true;
    ssize_t n = 0;
    int fd;

    while (more &&
           (n = packet_recv(r->children[i].sock, said, sizeof(said), &fd, NULL, now_ns())) > 0) {
        more = heed(r, i, said, (size_t)n, fd);
        if (fd >= 0)
            close(fd);
    }
    return more && n == -ETIMEDOUT;
}

/* Those that come meanwhile are behind the others, and have said nothing. */
static void hear_children(struct router *r)
{
    for (unsigned i = r->count; i-- > 0;)
        if (!hear_child(r, i)) {
            look_after(r, &r->children[i]);
            drop_child(r, i);
        }
}

/* --- connections --- */

/* The process whose connection ends does, too. */
static void make_room(struct router *r, const struct crowd_address *next)
{
    static const struct crowd_limits limits = {
        .per_address = ROUTER_MAX_HALF_OPEN_PER_ADDRESS,
        .in_all = ROUTER_MAX_HALF_OPEN,
    };
    struct crowd_address of[MAX_CHILDREN];
    unsigned at[MAX_CHILDREN], count = 0;

    for (unsigned i = 0; i < r->count; i++)
        if (is_half_open(&r->children[i])) {
            of[count] = r->children[i].from;
            at[count++] = i;
        }

    const int victim = crowd_victim(of, count, next, &limits);

    if (victim < 0)
        return;
    log_debug(r->p->log, "process %d makes room: its peer has not proven who it is",
        (int)r->children[at[victim]].pid);
    shutdown(r->children[at[victim]].conn, SHUT_RDWR);
    drop_child(r, at[victim]);
}

/* *fd is taken if that succeeds. */
static enum preamble_status start_migration(
    struct router *r, int *fd, const struct preamble *preamble)
{
    const struct crowd_address from = crowd_address_of(*fd);
    struct err e = ERR_INIT;

    if (count_migrations(r) >= ROUTER_MAX_MIGRATIONS)
        return PREAMBLE_BUSY;
    make_room(r, &from);
    if (start_relay(r, *fd, preamble, &from, &e)) {
        log_error(r->p->log, "%s", e.text);
        return PREAMBLE_BUSY;
    }
    *fd = -1;
    return PREAMBLE_OK;
}

static enum preamble_status pass_on(
    struct router *r, int fd, const uint8_t bytes[static PREAMBLE_BYTES], const uint8_t *token)
{
    const struct child *owner = use_token(r, token);

    if (!owner)
        return PREAMBLE_UNKNOWN_TOKEN;

    const int rc = packet_send(
        owner->sock, bytes, PREAMBLE_BYTES, fd, NULL, deadline_in(SEND_LIMIT_NS));

    if (!rc)
        return PREAMBLE_OK;
    log_warn(
        r->p->log, "process %d does not take its connection: %s", (int)owner->pid, io_strerror(rc));
    return rc == -ETIMEDOUT ? PREAMBLE_BUSY : PREAMBLE_UNKNOWN_TOKEN;
}

static bool is_new(const struct preamble *p)
{
    static const uint8_t none[PREAMBLE_TOKEN_BYTES];

    return p->lane == LANE_CONTROL && !memcmp(p->token, none, sizeof(none));
}

static enum preamble_status route(
    struct router *r, int *fd, const uint8_t bytes[static PREAMBLE_BYTES])
{
    struct err e = ERR_INIT;
    struct preamble preamble;

    if (preamble_decode(bytes, &preamble, &e))
        return PREAMBLE_UNKNOWN_TOKEN;
    /* The owner registered before its peer could connect, but perhaps after the last poll. */
    hear_children(r);
    return is_new(&preamble) ? start_migration(r, fd, &preamble)
                             : pass_on(r, *fd, bytes, preamble.token);
}

/* One connection, and the verdict: the acceptor waits for it. */
static int hear_acceptor(struct router *r, struct err *e)
{
    uint8_t bytes[PREAMBLE_BYTES], verdict;
    int fd;
    ssize_t n = packet_recv(r->p->acceptor_sock, bytes, sizeof(bytes), &fd, NULL, now_ns());

    if (n == -ETIMEDOUT)
        return 0;
    if (n == PREAMBLE_BYTES && fd >= 0) {
        verdict = (uint8_t)route(r, &fd, bytes);
        n = packet_send(
            r->p->acceptor_sock, &verdict, sizeof(verdict), -1, NULL, deadline_in(SEND_LIMIT_NS));
    } else if (n >= 0) {
        n = -EPROTO;
    }
    if (fd >= 0)
        close(fd);
    return n ? err_set(e, ERR_INTERNAL, (int)-n, "the process that accepts connections is gone: %s",
                   io_strerror((int)n))
             : 0;
}

/* --- the loop --- */

enum { POLL_CANCEL, POLL_ACCEPTOR, POLL_WAKE, POLL_FIXED, POLL_MAX = POLL_FIXED + MAX_CHILDREN };

static int wait_for_work(struct router *r)
{
    struct pollfd fds[POLL_MAX] = {
        [POLL_WAKE] = {.fd = r->p->wake ? r->p->wake_fd : -1, .events = POLLIN},
        [POLL_CANCEL] = {.fd = r->p->cancel->event_fd, .events = POLLIN},
        [POLL_ACCEPTOR] = {.fd = r->p->acceptor_sock, .events = POLLIN},
    };
    unsigned n = POLL_FIXED;

    for (unsigned i = 0; i < r->count; i++)
        fds[n++] = (struct pollfd){.fd = r->children[i].sock, .events = POLLIN};
    if (poll(fds, n, deadline_poll_ms(r->p->is_open ? r->look_ns : DEADLINE_NEVER)) < 0)
        return errno == EINTR ? 0 : -errno;
    if (fds[POLL_WAKE].revents)
        r->p->wake(r->p->arg);
    return 0;
}

int router_run(const struct router_params *p, struct err *e)
{
    struct router *r = calloc(1, sizeof(*r));
    int rc = 0;

    if (!r)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the listener");
    r->p = p;
    r->settler = -1;
    r->every_ns = LOOK_FIRST_NS;
    /* How children ended is of no interest: the kernel reaps them. */
    signal(SIGCHLD, SIG_IGN);
    while (!rc) {
        rc = wait_for_work(r);
        if (rc)
            err_sys(e, ERR_LOCAL, -rc, "waiting for connections");
        if (cancel_is_fired(p->cancel))
            break;
        look_for_open(r);
        hear_children(r);
        if (!rc)
            rc = hear_acceptor(r, e);
    }
    while (r->count)
        drop_child(r, r->count - 1);
    if (r->settler >= 0)
        close(r->settler);
    free(r);
    return rc;
}
