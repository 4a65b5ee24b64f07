/* SPDX-License-Identifier: MIT */
/*
 * Xenstore, as far as libxl's context, the save helper and the recovery need it under xensim: the
 * name of the pool of CPUs; each guest's control/shutdown, in or out of a transaction, and its
 * control/feature-suspend; the nodes of disks (xensim/device.h); a watch on @releaseDomain, or
 * watches on nodes, which any change to any of them fires; and the notices about domains, which
 * succeed if the domain exists. xensim's guests keep their names and configurations in the daemon
 * instead.
 */
#include "xensim/client.h"
#include "xensim/preload/host.h"
#include "xensim/preload/interpose.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

enum { TOKEN_BYTES = 64 };

/* A transaction knows of one node only. One at a time. */
struct transaction {
    unsigned domid;
    bool has_read, has_written, suspend;
    char version[24]; /* when it was read */
};

struct xs_handle {
    struct transaction t;
    int watch_sock; /* the answer to "changes" is the next event; -1: no watch */
    char token[TOKEN_BYTES];
    unsigned new_watches; /* on nodes: each fires at once */
    char *node_changes;   /* that were heard of; NULL: no watch on nodes */
};

EXPORT struct xs_handle *xs_open(unsigned long flags)
{
    struct xs_handle *h = calloc(1, sizeof(*h));

    (void)flags;
    if (h)
        h->watch_sock = -1;
    return h;
}

EXPORT void xs_close(struct xs_handle *xsh)
{
    if (xsh->watch_sock >= 0)
        close(xsh->watch_sock);
    free(xsh->node_changes);
    free(xsh);
}

/* What the host says to a command, malloc'ed; NULL with errno set if it has nothing of the kind. A
 * word that is NULL ends it. */
static char *ask(const char *command, const char *of, const char *word, const char *more)
{
    struct err e = ERR_INIT;
    char *text = NULL;
    const int sock = host_connect(&e);
    const int rc = sock < 0 ? sock
                            : client_commandl(sock, &text, &e, command, of, word, more, NULL);

    if (sock >= 0)
        close(sock);
    if (!rc)
        return text ? text : strdup("");
    free(text);
    errno = ENOENT;
    return NULL;
}

static char *ask_node(const char *verb, const char *path)
{
    return ask("xenstore", verb, path, NULL);
}

static char *ask_emulator(unsigned domid, const char *action, const char *more)
{
    char id[16];

    snprintf(id, sizeof(id), "%u", domid);
    return ask("dm", id, action, more);
}

static bool is_emulator_node(const char *path, const char *node, unsigned *domid)
{
    int end = 0;

    return sscanf(path, "/local/domain/0/device-model/%u/%n", domid, &end) == 1 && end &&
           !strcmp(path + end, node);
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

/* ---- control/shutdown ---- */

static bool is_shutdown_node(const char *path, unsigned *domid)
{
    int end = 0;

    return sscanf(path, "/local/domain/%u/control/shutdown%n", domid, &end) == 1 && end &&
           !path[end];
}

static bool is_feature_node(const char *path, unsigned *domid)
{
    int end = 0;

    return sscanf(path, "/local/domain/%u/control/feature-suspend%n", domid, &end) == 1 && end &&
           !path[end];
}

static char *read_feature_node(unsigned domid)
{
    struct err e = ERR_INIT;
    char id[16], *text = NULL;
    const int sock = host_connect(&e);

    snprintf(id, sizeof(id), "%u", domid);
    if (sock >= 0) {
        client_commandl(sock, &text, &e, "feature-suspend", id, NULL);
        close(sock);
    }
    errno = ENOENT;
    return text;
}

/* value and version: NULL to read it, or for any version. */
static int ask_shutdown_node(unsigned domid, const char *value, const char *version, char **text)
{
    struct err e = ERR_INIT;
    char id[16];
    const int sock = host_connect(&e);

    *text = NULL;
    if (sock < 0)
        return sock;
    snprintf(id, sizeof(id), "%u", domid);

    const int rc = client_commandl(sock, text, &e, "shutdown-node", id, value, version, NULL);

    close(sock);
    return rc;
}

static char *read_shutdown_node(struct transaction *t, unsigned domid)
{
    char *text, *value = NULL;
    const int rc = ask_shutdown_node(domid, NULL, NULL, &text);

    if (rc) {
        errno = ENOENT;
    } else {
        const size_t digits = strcspn(text, " ");

        if (t) {
            t->domid = domid;
            t->has_read = true;
            snprintf(t->version, sizeof(t->version), "%.*s", (int)digits, text);
        }
        value = strdup(text + digits + 1);
    }
    free(text);
    return value;
}

static bool write_shutdown_node(unsigned domid, bool suspend, const char *version)
{
    char *text;
    const int rc = ask_shutdown_node(domid, suspend ? "suspend" : "", version, &text);

    free(text);
    errno = -rc;
    return rc == 0;
}

EXPORT void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    static const char pool_name[] = "Pool-0";
    unsigned domid;
    char *value = NULL;

    if (!strcmp(path, "/local/pool/0/name"))
        value = strdup(pool_name);
    else if (is_shutdown_node(path, &domid))
        value = read_shutdown_node(t ? &h->t : NULL, domid);
    else if (is_feature_node(path, &domid))
        value = read_feature_node(domid);
    else
        value = ask_node("read", path);
    if (value)
        *len = (unsigned)strlen(value);
    return value;
}

/* One piece of memory, as libxenstore has it: pointers, then what they point to. */
EXPORT char **xs_directory(
    struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    (void)h;
    (void)t;
    *num = 0;

    unsigned domid;
    char *text = is_emulator_node(path, "physmap", &domid) ? ask_emulator(domid, "physmap", NULL)
                                                           : ask_node("list", path);

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
    const bool suspend = len == strlen("suspend") && !memcmp(data, "suspend", len);
    unsigned domid;

    if (is_emulator_node(path, "state", &domid) && len == strlen("running") &&
        !memcmp(data, "running", len)) {
        char *text = ask_emulator(domid, "says", "running");

        free(text);
        return text;
    }
    if (!is_shutdown_node(path, &domid) || (len && !suspend)) {
        errno = EACCES;
        return false;
    }
    if (!t)
        return write_shutdown_node(domid, suspend, NULL);
    h->t.domid = domid;
    h->t.has_written = true;
    h->t.suspend = suspend;
    return true;
}

EXPORT bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    (void)h;
    (void)t;
    (void)path;
    errno = EACCES;
    return false;
}

/* ---- watches on nodes ---- */

/* A domain's devices, and which vCPUs it is to use. */
static bool are_nodes(const char *path)
{
    unsigned domid;
    int end = 0;

    if (sscanf(path, "/libxl/%u/device%n", &domid, &end) != 1 || !end)
        sscanf(path, "/local/domain/%u/cpu%n", &domid, &end);
    return end && !path[end];
}

static bool watch_nodes(struct xs_handle *h, const char *path)
{
    char *now = ask_node("changes", path);

    free(h->node_changes);
    h->node_changes = now;
    h->new_watches++;
    return now;
}

static bool nodes_have_fired(struct xs_handle *h)
{
    char *now;
    bool fired;

    if (h->new_watches) {
        h->new_watches--;
        return true;
    }
    now = ask_node("changes", "/");
    fired = now && strcmp(now, h->node_changes);
    if (!fired) {
        free(now);
        return false;
    }
    free(h->node_changes);
    h->node_changes = now;
    return true;
}

/* ---- @releaseDomain ---- */

/* The first event comes at once, as xenstored's does. */
EXPORT bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    static const char first[] = "changes";
    struct err e = ERR_INIT;

    if (are_nodes(path))
        return watch_nodes(h, path);
    if (strcmp(path, "@releaseDomain") || h->watch_sock >= 0) {
        errno = EACCES;
        return false;
    }
    snprintf(h->token, sizeof(h->token), "%s", token);
    h->watch_sock = host_connect(&e);
    return h->watch_sock >= 0 && !client_send(h->watch_sock, first, sizeof(first), &e);
}

EXPORT int xs_fileno(struct xs_handle *h)
{
    return h->watch_sock;
}

/* Path and token, in one piece of memory. */
static char **new_event(const char *token)
{
    static const char path[] = "@releaseDomain";
    char **event = malloc(2 * sizeof(*event) + sizeof(path) + TOKEN_BYTES);

    if (!event)
        return NULL;
    event[XS_WATCH_PATH] = (char *)(event + 2);
    event[XS_WATCH_TOKEN] = event[XS_WATCH_PATH] + sizeof(path);
    strcpy(event[XS_WATCH_PATH], path);
    strcpy(event[XS_WATCH_TOKEN], token);
    return event;
}

EXPORT char **xs_check_watch(struct xs_handle *h)
{
    struct pollfd p = {.fd = h->watch_sock, .events = POLLIN};
    struct err e = ERR_INIT;
    char words[64], *text;
    char **event = NULL;

    if (h->node_changes && nodes_have_fired(h))
        return new_event(h->token);
    if (poll(&p, 1, 0) <= 0) {
        errno = EAGAIN;
        return NULL;
    }
    if (!client_receive(h->watch_sock, &text, &e)) {
        const int n = snprintf(words, sizeof(words), "changes%c%s", 0, text) + 1;

        if (!client_send(h->watch_sock, words, (size_t)n, &e))
            event = new_event(h->token);
    }
    errno = EIO;
    free(text);
    return event;
}

EXPORT char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    char path[40];

    (void)h;
    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    return strdup(path);
}

/* ---- transactions ---- */

EXPORT xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    h->t = (struct transaction){0};
    return 1;
}

/* EAGAIN when what it has read is not what it was. */
EXPORT bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    const struct transaction *now = &h->t;

    (void)t;
    return abort || !now->has_written ||
           write_shutdown_node(now->domid, now->suspend, now->has_read ? now->version : NULL);
}
