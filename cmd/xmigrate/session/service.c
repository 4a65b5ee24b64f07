/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/service.h"

#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static void find_manager(struct service *s)
{
    const char *path = getenv("NOTIFY_SOCKET");
    const size_t len = path ? strlen(path) : 0;

    if (len < 2 || len > sizeof(s->notify.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    s->notify.sun_family = AF_UNIX;
    memcpy(s->notify.sun_path, path, len);
    if (path[0] == '@') /* an abstract one */
        s->notify.sun_path[0] = '\0';
    s->notify_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* How many descriptors were passed, to this process and not to one that it was forked from. */
static unsigned count_passed(void)
{
    uint64_t pid, count;

    if (!parse_u64(getenv("LISTEN_PID") ?: "", 1, INT_MAX, &pid) || (pid_t)pid != getpid() ||
        !parse_u64(getenv("LISTEN_FDS") ?: "", 1, INT_MAX, &count))
        return 0;
    return (unsigned)count;
}

static bool option_is(int fd, int name, int value)
{
    int is = -1;
    socklen_t len = sizeof(is);

    return !getsockopt(fd, SOL_SOCKET, name, &is, &len) && is == value;
}

static int take_socket(struct service *s, struct err *e)
{
    struct sockaddr_in6 a;
    socklen_t len = sizeof(a);

    if (!option_is(FIRST_FD, SO_TYPE, SOCK_STREAM) || !option_is(FIRST_FD, SO_ACCEPTCONN, 1) ||
        getsockname(FIRST_FD, (struct sockaddr *)&a, &len) ||
        (a.sin6_family != AF_INET && a.sin6_family != AF_INET6))
        return err_set(e, ERR_LOCAL, ENOTSOCK,
            "what the service manager passed is not a listening TCP socket (ListenStream=PORT)");
    if (fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) || fcntl(FIRST_FD, F_SETFL, O_NONBLOCK))
        return err_sys(e, ERR_LOCAL, errno, "cannot use the socket that was passed");
    /* The port is in the same place in both families. */
    s->port = ntohs(a.sin6_port);
    s->listen_fd = FIRST_FD;
    return 0;
}

int service_open(struct service *s, struct err *e)
{
    const unsigned count = count_passed();

    *s = (struct service){.listen_fd = -1};
    find_manager(s);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    unsetenv("NOTIFY_SOCKET");
    if (count > 1)
        return err_set(e, ERR_LOCAL, E2BIG,
            "the service manager passed %u sockets, and --listen takes one", count);
    return count ? take_socket(s, e) : 0;
}

void service_notify(const struct service *s, const char *state)
{
    const int sock = s->notify_bytes ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

    if (sock < 0)
        return;
    sendto(sock, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
        (const struct sockaddr *)&s->notify, s->notify_bytes);
    close(sock);
}
