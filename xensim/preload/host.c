/* SPDX-License-Identifier: MIT */
#include "xensim/preload/host.h"
#include "xensim/client.h"

#include <errno.h>
#include <stdlib.h>

int host_connect(struct err *e)
{
    const char *path = getenv("XENSIM_SOCKET"), *host = getenv("XENSIM_HOST");

    if (!path)
        return err_set(e, ERR_LOCAL, ENODEV, "XENSIM_SOCKET is not set");
    return client_connect(path, host ? host : path, e);
}
