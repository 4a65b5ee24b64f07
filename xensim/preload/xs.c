/* SPDX-License-Identifier: MIT */
/*
 * Xenstore, as far as libxl's context and the save helper need it under xensim: a handle that
 * opens and closes, the name of the pool of CPUs, the nodes of disks (xensim/device.h), and the
 * notices about domains, which succeed if the domain exists. xensim's guests keep their names and
 * configurations in the daemon instead.
 */
#include "xensim/client.h"
#include "xensim/preload/host.h"
#include "xensim/preload/interpose.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

struct xs_handle {
    int unused;
};

EXPORT struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return calloc(1, sizeof(struct xs_handle));
}

EXPORT void xs_close(struct xs_handle *xsh)
{
    free(xsh);
}

/* What the host says of a node, malloc'ed; NULL with errno set if there is none. */
static char *ask_node(const char *verb, const char *path)
{
    struct err e = ERR_INIT;
    char *text = NULL;
    const int sock = host_connect(&e);
    const int rc = sock < 0 ? sock : client_commandl(sock, &text, &e, "xenstore", verb, path, NULL);

    if (sock >= 0)
        close(sock);
    if (!rc)
        return text ? text : strdup("");
    free(text);
    errno = ENOENT;
    return NULL;
}

static bool domain_exists(unsigned domid)
{
    struct err e = ERR_INIT;
    char id[16];
    char *text = NULL;
    int sock = host_connect(&e);
    int rc;

    if (sock < 0)
        return false;
    snprintf(id, sizeof(id), "%u", domid);
    rc = client_commandl(sock, &text, &e, "id", id, NULL);
    free(text);
    close(sock);
    if (rc)
        errno = ENOENT;
    return rc == 0;
}

EXPORT bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    (void)h;
    return domain_exists(domid);
}

EXPORT bool xs_introduce_domain(
    struct xs_handle *h, unsigned int domid, unsigned long mfn, unsigned int eventchn)
{
    (void)h;
    (void)mfn;
    (void)eventchn;
    return domain_exists(domid);
}

EXPORT bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
    (void)h;
    return domain_exists(domid);
}

EXPORT bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
    (void)h;
    return domain_exists(domid);
}

EXPORT void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    static const char pool_name[] = "Pool-0";

    (void)h;
    (void)t;
    if (!strcmp(path, "/local/pool/0/name")) {
        *len = sizeof(pool_name) - 1;
        return strdup(pool_name);
    }

    char *text = ask_node("read", path);

    if (text)
        *len = (unsigned)strlen(text);
    return text;
}

/* One piece of memory, as libxenstore has it: pointers, then what they point to. */
EXPORT char **xs_directory(
    struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    (void)h;
    (void)t;
    *num = 0;

    char *text = ask_node("list", path);

    if (!text)
        return NULL;

    const size_t bytes = strlen(text) + 1;
    char **list = malloc(bytes * sizeof(char *) + bytes), *rest = NULL;

    if (list) {
        char *names = memcpy(list + bytes, text, bytes);

        for (char *name = strtok_r(names, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest))
            list[(*num)++] = name;
    }
    free(text);
    return list;
}

EXPORT bool xs_write(
    struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len)
{
    (void)h;
    (void)t;
    (void)path;
    (void)data;
    (void)len;
    errno = EACCES;
    return false;
}

EXPORT bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    (void)h;
    (void)t;
    (void)path;
    errno = EACCES;
    return false;
}

EXPORT bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    (void)h;
    (void)path;
    (void)token;
    errno = EACCES;
    return false;
}

EXPORT int xs_fileno(struct xs_handle *h)
{
    (void)h;
    return -1;
}

EXPORT char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    char path[40];

    (void)h;
    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    return strdup(path);
}

EXPORT xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    (void)h;
    return 1;
}

EXPORT bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    (void)h;
    (void)t;
    (void)abort;
    return true;
}
