/* SPDX-License-Identifier: MIT */
#include "engine/xen/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

struct xs_handle *devices_open(struct err *e)
{
    struct xs_handle *xs = xs_open(0);

    if (!xs)
        err_sys(e, ERR_LOCAL, errno, "cannot reach xenstored");
    return xs;
}

void devices_close(struct xs_handle *xs)
{
    if (xs)
        xs_close(xs);
}

/* The names in a directory of the domain's, NULL if it is not there (*rc: or cannot be read). */
static char **list(
    struct xs_handle *xs, uint32_t domid, const char *kind, unsigned *count, int *rc, struct err *e)
{
    char path[128];

    snprintf(path, sizeof(path), "/libxl/%u/device%s%s", domid, kind[0] ? "/" : "", kind);

    char **names = xs_directory(xs, XBT_NULL, path, count);

    if (!names && errno != ENOENT)
        *rc = err_sys(e, ERR_LOCAL, errno, "cannot read %s in xenstore", path);
    if (!names)
        *count = 0;
    return names;
}

static int add_kind(
    struct xs_handle *xs, uint32_t domid, const char *kind, char *text, struct err *e)
{
    unsigned count;
    int rc = 0;
    char **ids = list(xs, domid, kind, &count, &rc, e);

    for (unsigned i = 0; i < count; i++) {
        const size_t used = strlen(text);

        snprintf(text + used, DEVICES_TEXT_BYTES - used, "%s/%s ", kind, ids[i]);
    }
    free(ids);
    return rc;
}

int devices_list(
    struct xs_handle *xs, uint32_t domid, char text[static DEVICES_TEXT_BYTES], struct err *e)
{
    unsigned count;
    int rc = 0;
    char **kinds = list(xs, domid, "", &count, &rc, e);

    text[0] = '\0';
    for (unsigned i = 0; i < count && !rc; i++)
        rc = add_kind(xs, domid, kinds[i], text, e);
    free(kinds);
    return rc;
}
