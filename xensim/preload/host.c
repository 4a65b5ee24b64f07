/* SPDX-License-Identifier: MIT */
#include "xensim/preload/host.h"
#include "xensim/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int host_connect(struct err *e)
{
    const char *path = getenv("XENSIM_SOCKET"), *host = getenv("XENSIM_HOST");

    if (!path)
        return err_set(e, ERR_LOCAL, ENODEV, "XENSIM_SOCKET is not set");
    return client_connect(path, host ? host : path, e);
}

const char *host_path(const char *path, char own[static HOST_PATH_BYTES])
{
    const char *socket = getenv("XENSIM_SOCKET"), *slash = socket ? strrchr(socket, '/') : NULL;

    static const char lib[] = "/var/lib/xen/";
    const char *name = NULL;

    if (path && slash && !strcmp(path, "/proc/sys/kernel/random/boot_id"))
        name = "boot_id";
    else if (path && slash && !strncmp(path, lib, strlen(lib)))
        name = path + strlen(lib);
    if (!name)
        return path;
    snprintf(own, HOST_PATH_BYTES, "%.*s/%s", (int)(slash - socket), socket, name);
    return own;
}
