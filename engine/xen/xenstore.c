/* SPDX-License-Identifier: MIT */
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <stdlib.h>
#include <xenstore.h>

struct xs_handle *xenstore_open(struct err *e)
{
    struct xs_handle *xs = xs_open(0);

    if (!xs)
        err_sys(e, ERR_LOCAL, errno, "cannot reach xenstored");
    return xs;
}

void xenstore_close(struct xs_handle *xs)
{
    if (xs)
        xs_close(xs);
}

int xenstore_list(
    struct xs_handle *xs, const char *path, char ***names, unsigned *count, struct err *e)
{
    *names = xs_directory(xs, XBT_NULL, path, count);
    if (*names)
        return 0;
    *count = 0;
    return errno == ENOENT ? 0 : err_sys(e, ERR_LOCAL, errno, "cannot read %s in xenstore", path);
}

bool xenstore_read_number(struct xs_handle *xs, const char *path, uint64_t limit, uint64_t *number)
{
    unsigned len;
    char *text = xs_read(xs, XBT_NULL, path, &len), *end = text;
    const unsigned long long n = text ? strtoull(text, &end, 10) : 0;
    const bool good = text && end != text && !*end && text[0] != '-' && n < limit;

    free(text);
    *number = n;
    return good;
}

int xenstore_drop_events(struct xs_handle *xs, bool *any, struct err *e)
{
    bool some = false;
    char **event;

    while ((event = xs_check_watch(xs))) {
        some = true;
        free(event);
    }
    if (any)
        *any = some;
    return errno == EAGAIN
               ? 0
               : err_sys(e, ERR_LOCAL, errno, "xenstore: cannot hear of what has changed");
}
