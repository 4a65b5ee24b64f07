/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/listener.h"

#include "base/deadline.h"
#include "base/libc.h"
#include "base/packet.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/session/acceptor.h"
#include "cmd/xmigrate/session/relay.h"
#include "cmd/xmigrate/session/router.h"
#include "cmd/xmigrate/session/service.h"
#include "cmd/exit_codes.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/libxl/context.h"
#include "crypto/identity.h"
#include "transport/tcp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREAMBLE_LIMIT_NS (10 * NS_PER_S)
/* Resuming a guest and destroying a half-built one take seconds. */
#define RECOVER_LIMIT_NS (120 * NS_PER_S)
/* It has closed its descriptors already. */
#define ENDS_LIMIT_NS (10 * NS_PER_S)
/* The acceptor ends at once, and the port is free then. */
#define ACCEPTOR_LIMIT_NS (2 * NS_PER_S)
#define LISTEN_AGAIN_NS   (20 * NS_PER_MS)

struct listener {
    struct listen_options o; /* as they were given, with our policy */
    struct policy policy;
    struct service service;
    struct confinement confinement; /* of the acceptor and the relays */
    struct tls_base *tls_base;      /* of the relays; NULL: insecure */
    int reload_fd;                  /* SIGHUP makes it readable */
    const struct listen_work *work;
    const struct log *log;
    pid_t acceptor;
    int acceptor_sock; /* -1: none was started */
    bool looked;       /* for what is open */
};

/* A child of ours: killed when it has not ended by then. Its status; 0 if nobody knows. */
static int await_end(pid_t pid, int64_t deadline_ns)
{
    const int fd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int status = 0;

    while (fd >= 0 && poll(&p, 1, deadline_poll_ms(deadline_ns)) < 0 && errno == EINTR)
        continue;
    if (fd < 0 || !p.revents)
        kill(pid, SIGKILL);
    if (fd >= 0)
        close(fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* What an earlier run left. In a process of its own: a libxl context here would not survive the
 * forks to come. *code is its exit code. */
static int recover_first(const struct listener *l, int *code, struct err *e)
{
    const pid_t pid = fork();

    if (pid < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot start a process");
    if (!pid) {
        signals_reset();
        close(l->acceptor_sock); /* or the acceptor would outlive a listener that is killed now */
        _exit(l->work->recover(l->log));
    }

    const int status = await_end(pid, deadline_in(RECOVER_LIMIT_NS));

    if (!WIFEXITED(status))
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "looking for what earlier migrations left did not end: is xenstored running?");
    *code = WEXITSTATUS(status);
    return 0;
}

/* At first whatever was left of departures: a guest may have to be built again from a file. */
static bool is_open(void *arg)
{
    struct listener *l = arg;
    const bool first = !l->looked;

    l->looked = true;
    return first ? journal_any(HANDOFF_SOURCE) : journal_any_unsettled();
}

/* In a process of its own, that nobody waits for: a host may be out of reach. */
static int settle(void *arg)
{
    struct listener *l = arg;

    return l->work->resolve(&l->o, l->log);
}

/* --- the acceptor --- */

/* It begins when it is told to, and ends when the listener does. */
static int accept_until_told(const struct listener *l, int listen_fd, int router_sock)
{
    const struct acceptor_params p = {
        .listen_fd = listen_fd,
        .insecure = l->o.insecure,
        .preamble_ns = PREAMBLE_LIMIT_NS,
        .log = l->log,
        .router_sock = router_sock,
    };
    struct err e = ERR_INIT;
    uint8_t begin;
    int none, rc;

    setsid();
    prctl(PR_SET_NAME, "xmigrate-accept");
    rc = confine_self(&l->confinement, &e);
    if (!rc && packet_recv(router_sock, &begin, sizeof(begin), &none, NULL, DEADLINE_NEVER) < 0)
        return EXIT_DONE;
    if (!rc)
        rc = acceptor_run(&p, &e);
    if (!rc)
        return EXIT_DONE;
    log_error(l->log, "%s", e.text);
    return EXIT_REFUSED;
}

/* First of all: what comes after it, and this process's memory, is none of its business. It has
 * listen_fd from here on. */
static int start_acceptor(struct listener *l, int listen_fd, struct err *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair");
    l->acceptor = fork();
    if (!l->acceptor) {
        close(pair[0]);
        _exit(accept_until_told(l, listen_fd, pair[1]));
    }
    close(pair[1]);
    l->acceptor_sock = pair[0];
    return l->acceptor > 0 ? 0 : err_sys(e, ERR_LOCAL, errno, "cannot start a process");
}

static int begin_accepting(const struct listener *l, struct err *e)
{
    const uint8_t begin = 1;
    const int rc = packet_send(
        l->acceptor_sock, &begin, sizeof(begin), -1, NULL, deadline_in(ACCEPTOR_LIMIT_NS));

    return rc ? err_set(e, ERR_INTERNAL, -rc, "the process that accepts connections is gone") : 0;
}

static void stop_acceptor(struct listener *l)
{
    if (l->acceptor_sock >= 0)
        close(l->acceptor_sock);
    if (l->acceptor > 0)
        await_end(l->acceptor, deadline_in(ACCEPTOR_LIMIT_NS));
}

/* --- the listener --- */

static int relay(void *arg, int fd, const struct preamble *preamble, int router_sock)
{
    const struct listener *l = arg;

    return relay_main(&l->o, l->log, fd, preamble, router_sock);
}

static int serve(void *arg, int fd, const struct caller *caller, int router_sock)
{
    const struct listener *l = arg;

    return l->work->serve(&l->o, l->log, fd, caller, router_sock);
}

/* One that was killed leaves its record, and perhaps a half-built domain. A monitor leaves neither.
 */
static int look_after(void *arg, pid_t pid, int pidfd)
{
    const struct listener *l = arg;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    if (!journal_left_by(pid) || poll(&p, 1, deadline_poll_ms(deadline_in(ENDS_LIMIT_NS))) <= 0)
        return EXIT_DONE;
    log_warn(l->log, "process %d left a migration unsettled: recovering", (int)pid);
    return l->work->recover(l->log);
}

/* For migrations to come; those under way have heard theirs. */
static void reload(void *arg)
{
    struct listener *l = arg;
    struct err e = ERR_INIT;
    uint64_t count;

    if (read(l->reload_fd, &count, sizeof(count)) < 0)
        return;
    if (policy_load(&l->policy, l->o.config_dir, &e))
        log_error(l->log, "the policy stays as it was: %s", e.text);
    else
        log_info(l->log, "the policy of %s holds from now on", l->policy.path);
}

static int prepare_reload(struct listener *l, struct err *e)
{
    l->reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return l->reload_fd < 0 ? err_sys(e, ERR_LOCAL, errno, "cannot make an eventfd")
                            : signals_reload(l->reload_fd, e);
}

/* The identity is made now, so that the first peer need not wait for it, and shown to be trusted
 * there. */
static int show_identity(const struct listen_options *o, struct err *e)
{
    struct identity id;
    int rc;

    if (o->insecure) {
        fprintf(stderr, "xmigrate: no TLS (--insecure): anybody on the network can read and change "
                        "guests on their way here\n");
        return 0;
    }
    rc = identity_open(&id, o->config_dir, e);
    if (!rc) {
        fprintf(stderr, "xmigrate: this host is %s\n", id.fingerprint);
        identity_close(&id);
    }
    return rc;
}

/* For the relays to come, each of which reads the key for itself. */
static int prepare_tls(struct listener *l, struct err *e)
{
    const int rc = l->o.insecure ? 0 : tls_base_open(&l->tls_base, e);

    l->o.tls_base = l->tls_base;
    return rc;
}

static int serve_all(struct listener *l, uint16_t port, struct cancel *cancel, struct err *e)
{
    struct router_params p = {
        .acceptor_sock = l->acceptor_sock,
        .log = l->log,
        .cancel = cancel,
        .relay = relay,
        .serve = serve,
        .look_after = look_after,
        .is_open = is_open,
        .settle = settle,
        .wake = reload,
        .arg = l,
    };
    int rc;

    rc = signals_fire(cancel, e);
    if (!rc)
        rc = prepare_reload(l, e);
    if (!rc)
        rc = begin_accepting(l, e);
    if (rc)
        return rc;
    p.wake_fd = l->reload_fd;
    l->work->listening(&l->o, port);
    service_notify(&l->service, "READY=1");
    rc = router_run(&p, e);
    service_notify(&l->service, "STOPPING=1");
    return rc;
}

/* The acceptor of a listener that was killed holds the port until it has noticed. */
static int listen_patiently(const struct tcp_address *address, uint16_t *port, struct err *e)
{
    const int64_t deadline_ns = deadline_in(ACCEPTOR_LIMIT_NS);

    for (;;) {
        struct err in_use = ERR_INIT;
        const int fd = tcp_listen(address, port, &in_use);

        if (fd != -EADDRINUSE || deadline_passed(deadline_ns))
            return fd < 0 ? err_take(e, &in_use) : fd;
        sleep_until_ns(deadline_in(LISTEN_AGAIN_NS));
    }
}

/* The one that a service manager holds for us, or our own. */
static int open_port(struct listener *l, uint16_t *port, struct err *e)
{
    struct tcp_address address = {.port = l->o.port};
    const int rc = service_open(&l->service, e);

    if (rc)
        return rc;
    *port = l->service.port;
    if (l->service.listen_fd >= 0 && l->o.address)
        return err_set(e, ERR_USAGE, EINVAL,
            "--listen %s: the service manager has passed a socket for port %u already",
            l->o.address, *port);
    if (l->service.listen_fd >= 0 && l->o.port != TCP_DEFAULT_PORT && l->o.port != *port)
        return err_set(e, ERR_USAGE, EINVAL,
            "--listen :%u: the service manager has passed a socket for port %u already", l->o.port,
            *port);
    if (l->service.listen_fd >= 0)
        return l->service.listen_fd;
    snprintf(address.host, sizeof(address.host), "%s", l->o.address ? l->o.address : "");
    return listen_patiently(&address, port, e);
}

static int listen_and_serve(struct listener *l, struct cancel *cancel, int *code, struct err *e)
{
    uint16_t port;
    const int listen_fd = open_port(l, &port, e);
    int rc;

    if (listen_fd < 0)
        return listen_fd;
    rc = start_acceptor(l, listen_fd, e);
    close(listen_fd);
    if (!rc)
        rc = show_identity(&l->o, e);
    if (!rc)
        rc = prepare_tls(l, e);
    if (!rc)
        rc = recover_first(l, code, e);
    /* Anything but "no Xen here" was said and does not keep others from moving. */
    if (!rc && *code != EXIT_REFUSED) {
        *code = EXIT_DONE;
        rc = serve_all(l, port, cancel, e);
    }
    stop_acceptor(l);
    return rc;
}

int listen_main(
    const struct listen_options *o, const struct listen_work *work, const struct log *log)
{
    struct listener *l = calloc(1, sizeof(*l));
    struct cancel cancel;
    struct err e = ERR_INIT;
    int code = EXIT_DONE;
    int rc;

    if (!l)
        return EXIT_REFUSED;
    *l = (struct listener){.o = *o, .work = work, .log = log, .reload_fd = -1, .acceptor_sock = -1};
    l->o.policy = &l->policy;
    l->o.confinement = &l->confinement;
    rc = policy_load(&l->policy, o->config_dir, &e);
    if (!rc && !o->as_root)
        rc = confine_prepare(&l->confinement, &e);
    if (!rc)
        rc = xl_prepare_process(&e);
    if (!rc)
        rc = cancel_init(&cancel, &e);
    if (!rc) {
        rc = listen_and_serve(l, &cancel, &code, &e);
        cancel_destroy(&cancel);
    }
    if (l->reload_fd >= 0)
        close(l->reload_fd);
    tls_base_close(l->tls_base);
    free(l);
    if (!rc)
        return code;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}
