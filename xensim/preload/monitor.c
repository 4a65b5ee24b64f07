/* SPDX-License-Identifier: MIT */
#include "xensim/preload/monitor.h"
#include "xensim/preload/real.h"
#include "xensim/proto.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

bool monitor_named(const struct sockaddr *address, socklen_t bytes, unsigned *domid)
{
    const struct sockaddr_un *a = (const struct sockaddr_un *)address;
    char path[sizeof(a->sun_path) + 1] = "";

    if (bytes <= offsetof(struct sockaddr_un, sun_path) || bytes > sizeof(*a) ||
        a->sun_family != AF_UNIX)
        return false;
    memcpy(path, a->sun_path, bytes - offsetof(struct sockaddr_un, sun_path));
    return sscanf(path, "/var/run/xen/qmp-libxenstat-%u", domid) == 1;
}

int monitor_connect(int fd, unsigned domid)
{
    const char *host = getenv("XENSIM_SOCKET"), *slash = host ? strrchr(host, '/') : NULL;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char line[16], status;
    const int n = snprintf(line, sizeof(line), "%u\n", domid);

    if (!slash || snprintf(a.sun_path, sizeof(a.sun_path), "%.*s/qmp", (int)(slash - host), host) >=
                      (int)sizeof(a.sun_path)) {
        errno = ENOENT;
        return -1;
    }
    if (real.connect(fd, (const struct sockaddr *)&a, sizeof(a)))
        return -1;
    if (write(fd, line, (size_t)n) != n || poll(&p, 1, 10000) != 1 || read(fd, &status, 1) != 1)
        status = QMP_DEAD[0];
    if (status == QMP_ALIVE[0])
        return 0;
    /* As if there were no such socket, or nobody behind it. */
    errno = status == QMP_NONE[0] ? ENOENT : ECONNREFUSED;
    return -1;
}
