/* SPDX-License-Identifier: MIT */
#include "engine/xen/devices.h"

#include "engine/xen/xenstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

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

/* 1, or 0 if it is not to be used or is no vCPU; -errno. */
static int is_available(struct xs_handle *xs, const char *cpus, const char *id, struct err *e)
{
    char path[2 * PATH_BYTES];
    unsigned len;

    snprintf(path, sizeof(path), "%s/%s/availability", cpus, id);

    char *word = xs_read(xs, XBT_NULL, path, &len);
    const int available = word && !strcmp(word, "online");

    if (!word && errno != ENOENT)
        return err_sys(e, ERR_LOCAL, errno, "cannot read %s in xenstore", path);
    free(word);
    return available;
}

int vcpus_list_available(
    struct xs_handle *xs, uint32_t domid, char text[static VCPUS_TEXT_BYTES], struct err *e)
{
    char path[PATH_BYTES], **ids;
    unsigned count;

    snprintf(path, sizeof(path), "/local/domain/%u/cpu", domid);

    int rc = xenstore_list(xs, path, &ids, &count, e);

    text[0] = '\0';
    for (unsigned i = 0; i < count && rc >= 0; i++) {
        const size_t used = strlen(text);

        rc = is_available(xs, path, ids[i], e);
        if (rc > 0)
            snprintf(text + used, VCPUS_TEXT_BYTES - used, "%s ", ids[i]);
    }
    free(ids);
    return rc < 0 ? rc : 0;
}

int devices_watch(struct xs_handle *xs, uint32_t domid, struct err *e)
{
    static const char *const paths[] = {"/libxl/%u/device", "/local/domain/%u/cpu"};
    char path[PATH_BYTES];

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        snprintf(path, sizeof(path), paths[i], domid);
        if (!xs_watch(xs, path, ""))
            return err_sys(e, ERR_LOCAL, errno, "cannot watch %s in xenstore", path);
    }
    return 0;
}

/* Over its socket xenstored keeps the order: an event of a change that came before the question is
 * there before the answer. /dev/xen/xenbus, where there is no socket, may deliver it later. */
int devices_have_stirred(struct xs_handle *xs, uint32_t domid, bool *stirred, struct err *e)
{
    char path[PATH_BYTES];
    unsigned len;

    snprintf(path, sizeof(path), "/libxl/%u/device", domid);

    char *answer = xs_read(xs, XBT_NULL, path, &len);

    if (!answer && errno != ENOENT)
        return err_sys(e, ERR_LOCAL, errno, "cannot read %s in xenstore", path);
    free(answer);
    return xenstore_drop_events(xs, stirred, e);
}
