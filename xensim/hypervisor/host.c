#include "xensim/hypervisor/host.h"
#include "xensim/session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void host_log_rate(struct host *h, const char *fmt, ...)
{
    uint64_t n = atomic_fetch_add(&h->log_lines, 1);
    char line[LOG_LINE_BYTES];
    va_list args;

    if (n >= 1000 && n % 4096)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    host_log(h, "%s", line);
}

void host_notify(struct host *h)
{
    pthread_mutex_lock(&h->change_lock);
    h->changes++;
    pthread_cond_broadcast(&h->change_cond);
    pthread_mutex_unlock(&h->change_lock);
}

static int start_connection(struct host *h, int sock)
{
    struct conn *c = calloc(1, sizeof(*c));
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    if (!c) {
        close(sock);
        return -ENOMEM;
    }
    c->host = h;
    c->sock = sock;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, conn_serve, c);
    pthread_attr_destroy(&attr);
    if (rc) {
        close(sock);
        free(c);
    }
    return -rc;
}

static void destroy_domains(struct host *h)
{
    for (unsigned i = 0; i < MAX_DOMAINS; i++) {
        struct domain *d = domain_get(h, (uint16_t)i);

        if (!d)
            continue;
        domain_destroy(d);
        domain_put(d);
    }
}

int host_run(struct host *h, struct err *e)
{
    struct pollfd fds[2] = {
        {.fd = h->listen_fd, .events = POLLIN}, {.fd = h->stop_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return err_sys(e, ERR_LOCAL, errno, "host %s: poll", h->name);
        if (fds[1].revents)
            break;
        if (!(fds[0].revents & POLLIN))
            continue;

        int sock = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);

        if (sock >= 0 && start_connection(h, sock))
            host_log(h, "cannot serve a client: out of memory or threads");
    }
    host_log(h, "stopping");
    destroy_domains(h);
    return 0;
}
