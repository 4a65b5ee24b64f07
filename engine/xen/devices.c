/* SPDX-License-Identifier: MIT */
#include "engine/xen/devices.h"

#include "engine/xen/xenstore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 128 };

static int add_kind(
    struct xs_handle *xs, uint32_t domid, const char *kind, char *text, struct err *e)
{
    char path[PATH_BYTES], **ids;
    unsigned count;

    snprintf(path, sizeof(path), "/libxl/%u/device/%s", domid, kind);

    const int rc = xenstore_list(xs, path, &ids, &count, e);

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
    char path[PATH_BYTES], **kinds;
    unsigned count;

    snprintf(path, sizeof(path), "/libxl/%u/device", domid);

    int rc = xenstore_list(xs, path, &kinds, &count, e);

    text[0] = '\0';
    for (unsigned i = 0; i < count && !rc; i++)
        rc = add_kind(xs, domid, kinds[i], text, e);
    free(kinds);
    return rc;
}
