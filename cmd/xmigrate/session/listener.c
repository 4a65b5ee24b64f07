/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/listener.h"

#include "base/deadline.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/session/acceptor.h"
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
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREAMBLE_LIMIT_NS (10 * NS_PER_S)
/* Resuming a guest and destroying a half-built one take seconds. */
#define RECOVER_LIMIT_NS (120 * NS_PER_S)

struct listener {
    struct listen_options o; /* as they were given, with our policy */
    struct policy policy;
    int reload_fd; /* SIGHUP makes it readable */
    const struct listen_work *work;
    const struct log *log;
};

/* What an earlier run left. In a process of its own: a libxl context here would not survive the
 * forks to come. *code is its exit code. */
static int recover_first(const struct listener *l, int *code, struct err *e)
{
    const pid_t pid = fork();

    if (pid < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot start a process");
    if (!pid) {
        signals_reset();
        _exit(l->work->recover(l->log));
    }

    const int fd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    const int64_t deadline_ns = deadline_in(RECOVER_LIMIT_NS);
    int status;

    while (fd >= 0 && poll(&p, 1, deadline_poll_ms(deadline_ns)) < 0 && errno == EINTR)
        continue;
    if (fd < 0 || !p.revents)
        kill(pid, SIGKILL);
    if (fd >= 0)
        close(fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(status))
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "looking for what earlier migrations left did not end: is xenstored running?");
    *code = WEXITSTATUS(status);
    return 0;
}

/* In a process of its own, that nobody waits for: a host may be out of reach. */
static void resolve_later(const struct listener *l, int listen_fd)
{
    const pid_t pid = journal_any(HANDOFF_SOURCE) ? fork() : -1;

    if (pid)
        return;
    signals_reset();
    close(listen_fd);
    _exit(l->work->resolve(&l->o, l->log));
}

static int serve(void *arg, int fd, const struct preamble *preamble, int acceptor_sock)
{
    const struct listener *l = arg;

    return l->work->serve(&l->o, l->log, fd, preamble, acceptor_sock);
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

static int listen_and_serve(struct listener *l, struct cancel *cancel, int *code, struct err *e)
{
    struct tcp_address address = {.port = l->o.port};
    struct acceptor_params p = {
        .insecure = l->o.insecure,
        .preamble_ns = PREAMBLE_LIMIT_NS,
        .log = l->log,
        .cancel = cancel,
        .serve = serve,
        .wake = reload,
        .arg = l,
    };
    uint16_t port;
    int rc;

    snprintf(address.host, sizeof(address.host), "%s", l->o.address ? l->o.address : "");
    p.listen_fd = tcp_listen(&address, &port, e);
    if (p.listen_fd < 0)
        return p.listen_fd;
    rc = show_identity(&l->o, e);
    if (!rc)
        rc = recover_first(l, code, e);
    /* Anything but "no Xen here" was said and does not keep others from moving. */
    if (!rc && *code != EXIT_REFUSED) {
        *code = EXIT_DONE;
        resolve_later(l, p.listen_fd);
        rc = signals_fire(cancel, e);
        if (!rc)
            rc = prepare_reload(l, e);
    }
    if (!rc && *code == EXIT_DONE) {
        p.wake_fd = l->reload_fd;
        printf("listening on port %u\n", port);
        fflush(stdout);
        rc = acceptor_run(&p, e);
    }
    close(p.listen_fd);
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
    *l = (struct listener){.o = *o, .work = work, .log = log, .reload_fd = -1};
    l->o.policy = &l->policy;
    rc = policy_load(&l->policy, o->config_dir, &e);
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
    free(l);
    if (!rc)
        return code;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}
