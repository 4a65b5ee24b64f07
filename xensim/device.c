/* SPDX-License-Identifier: MIT */
#include "xensim/device.h"
#include "xensim/guest/disk.h"

#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { XENBUS_CONNECTED = 4, FIRST_VBD = 51712, VBD_STEP = 16 };

struct device {
    struct device *next;
    uint16_t domid;
    char name[DEVICE_NAME_BYTES];
    char text[DEVICE_TEXT_BYTES];
};

struct devices {
    pthread_mutex_t lock;
    struct device *first;
    unsigned long changes; /* so far, of these and of which vCPUs are to be used */
};

struct devices *devices_new(void)
{
    struct devices *list = calloc(1, sizeof(*list));

    if (list)
        pthread_mutex_init(&list->lock, NULL);
    return list;
}

static bool is_disk(const struct device *d)
{
    return !strncmp(d->name, "xvd", 3);
}

/* Which of its domain's disks it is: xvda is 0. */
static unsigned disk_number(const struct device *d)
{
    return (unsigned)(d->name[3] - 'a');
}

static bool is_name(const char *name)
{
    if (!strncmp(name, "xvd", 3))
        return name[3] >= 'a' && name[3] < 'a' + GUEST_MAX_DISKS && !name[4];
    return !strncmp(name, "vif", 3) && strlen(name) < DEVICE_NAME_BYTES;
}

/* The link to it, or to NULL at the end of the list. Under the lock. */
static struct device **find(struct devices *list, uint16_t domid, const char *name)
{
    struct device **at = &list->first;

    while (*at && ((*at)->domid != domid || (name && strcmp((*at)->name, name))))
        at = &(*at)->next;
    return at;
}

int device_attach(struct host *h, uint16_t domid, const char *name, const char *text)
{
    struct device *d = calloc(1, sizeof(*d));
    int rc = 0;

    if (!d)
        return -ENOMEM;
    if (!is_name(name) || strlen(text) >= DEVICE_TEXT_BYTES) {
        free(d);
        return -EINVAL;
    }
    d->domid = domid;
    strcpy(d->name, name);
    strcpy(d->text, text);
    pthread_mutex_lock(&h->devices->lock);

    struct device **at = find(h->devices, domid, name);

    if (*at)
        rc = -EEXIST;
    else
        *at = d;
    h->devices->changes += !rc;
    pthread_mutex_unlock(&h->devices->lock);
    if (rc)
        free(d);
    return rc;
}

int device_detach(struct host *h, uint16_t domid, const char *name)
{
    struct device **at;
    int rc = -ENOENT;

    pthread_mutex_lock(&h->devices->lock);
    while (*(at = find(h->devices, domid, name))) {
        struct device *gone = *at;

        *at = gone->next;
        free(gone);
        rc = 0;
    }
    h->devices->changes += !rc;
    pthread_mutex_unlock(&h->devices->lock);
    return rc;
}

void device_note_vcpus(struct host *h)
{
    pthread_mutex_lock(&h->devices->lock);
    h->devices->changes++;
    pthread_mutex_unlock(&h->devices->lock);
}

/* ---- what xenstore would say ---- */

/* The word of a disk's text: 0 its backend, 1 its path. */
static void word_of(const struct device *d, int nth, char out[static DEVICE_TEXT_BYTES])
{
    out[0] = '\0';
    if (sscanf(d->text, nth ? "%*s %511s" : "%511s", out) != 1)
        out[0] = '\0';
}

bool device_first_disk(const struct domain *of, char *path, size_t bytes)
{
    struct devices *list = of->host->devices;
    char text[DEVICE_TEXT_BYTES] = "";

    pthread_mutex_lock(&list->lock);

    const struct device *d = *find(list, of->id, "xvda");

    if (d)
        word_of(d, 1, text);
    pthread_mutex_unlock(&list->lock);
    return text[0] && (size_t)snprintf(path, bytes, "%s", text) < bytes;
}

/* ref: of the disk's first ring page. False if there is no such node. */
static bool frontend_node(unsigned number, const char *node, char *out, size_t bytes)
{
    const unsigned ref = GUEST_FIRST_RING_REF + GUEST_DISK_PAGES * number;
    static const struct {
        const char *node;
        unsigned kind, ref;
    } refs[] = {{"ring-ref", 0, 0}, {"ring-ref0", 1, 0}, {"ring-ref1", 1, 1},
        {"queue-0/ring-ref", 2, 0}, {"queue-1/ring-ref0", 2, 1}};

    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++)
        if (refs[i].kind == number % 3 && !strcmp(refs[i].node, node))
            return snprintf(out, bytes, "%u", ref + refs[i].ref);
    if (!strcmp(node, "state"))
        return snprintf(out, bytes, "%u", XENBUS_CONNECTED);
    if (!strcmp(node, "ring-page-order") && number % 3 == 1)
        return snprintf(out, bytes, "1");
    return !strcmp(node, "multi-queue-num-queues") && number % 3 == 2 && snprintf(out, bytes, "2");
}

static bool backend_node(const struct device *d, const char *node, char *out, size_t bytes)
{
    char kind[DEVICE_TEXT_BYTES], path[DEVICE_TEXT_BYTES];
    struct stat st;

    word_of(d, 0, kind);
    word_of(d, 1, path);
    if (!strcmp(node, "dev"))
        return snprintf(out, bytes, "%s", d->name);
    if (!strcmp(node, "mode"))
        return snprintf(out, bytes, "w");
    if (!strcmp(node, "params"))
        return snprintf(out, bytes, "%s%s", strcmp(kind, "phy") ? "aio:" : "", path);
    return !strcmp(node, "physical-device") && !strcmp(kind, "phy") && !stat(path, &st) &&
           S_ISBLK(st.st_mode) &&
           snprintf(out, bytes, "%x:%x", major(st.st_rdev), minor(st.st_rdev));
}

static bool toolstack_node(const struct device *d, const char *node, char *out, size_t bytes)
{
    const unsigned id = FIRST_VBD + VBD_STEP * disk_number(d);
    char kind[DEVICE_TEXT_BYTES];

    word_of(d, 0, kind);
    if (!strcmp(node, "frontend"))
        return snprintf(out, bytes, "/local/domain/%u/device/vbd/%u", d->domid, id);
    return !strcmp(node, "backend") && snprintf(out, bytes, "/local/domain/0/backend/%s/%u/%u",
                                           strcmp(kind, "phy") ? "qdisk" : "vbd", d->domid, id);
}

/* Under the lock. */
static const struct device *disk_with(struct host *h, unsigned domid, unsigned id)
{
    for (const struct device *d = h->devices->first; d; d = d->next)
        if (d->domid == domid && is_disk(d) && FIRST_VBD + VBD_STEP * disk_number(d) == id)
            return d;
    return NULL;
}

/* Its rings, as the toolstack was told of them, and which vCPUs it is to use. */
static bool domain_node(struct host *h, unsigned domid, const char *node, char *out, size_t bytes)
{
    struct domain *d = domid < MAX_DOMAINS ? domain_get(h, (uint16_t)domid) : NULL;
    unsigned vcpu;

    if (!d)
        return false;
    pthread_mutex_lock(&d->lock);

    const uint64_t gfn = !strcmp(node, "store/ring-ref")     ? d->store_gfn
                         : !strcmp(node, "console/ring-ref") ? d->console_gfn
                                                             : 0;
    const bool is_vcpu = sscanf(node, "cpu/%u/availability", &vcpu) == 1 && vcpu < d->max_vcpus;
    const bool is_online = is_vcpu && vcpu < d->max_vcpus - d->offline_vcpus;

    pthread_mutex_unlock(&d->lock);
    domain_put(d);
    if (is_vcpu)
        return snprintf(out, bytes, "%s", is_online ? "online" : "offline");
    return gfn && snprintf(out, bytes, "%llu", (unsigned long long)gfn);
}

/* A line each; -ENOENT if path is no directory of them. */
static int list_vcpus(struct host *h, const char *path, struct answer *a)
{
    unsigned domid;
    int end = 0;
    struct domain *d = sscanf(path, "/local/domain/%u/cpu%n", &domid, &end) == 1 && end &&
                               !path[end] && domid < MAX_DOMAINS
                           ? domain_get(h, (uint16_t)domid)
                           : NULL;

    if (!d)
        return -ENOENT;
    for (unsigned i = 0; i < d->max_vcpus; i++)
        say(a, "%u\n", i);
    domain_put(d);
    return 0;
}

/* Under the lock. */
static bool read_node(struct host *h, const char *path, char *out, size_t bytes)
{
    unsigned domid, id;
    char node[64], kind[8];
    const struct device *d;

    if (sscanf(path, "/libxl/%u/device/vbd/%u/%63s", &domid, &id, node) == 3)
        return (d = disk_with(h, domid, id)) && toolstack_node(d, node, out, bytes);
    if (sscanf(path, "/local/domain/%u/device/vbd/%u/%63s", &domid, &id, node) == 3)
        return (d = disk_with(h, domid, id)) && frontend_node(disk_number(d), node, out, bytes);
    if (sscanf(path, "/local/domain/%u/%63s", &domid, node) == 2 && domid)
        return domain_node(h, domid, node, out, bytes);
    return sscanf(path, "/local/domain/0/backend/%7[^/]/%u/%u/%63s", kind, &domid, &id, node) ==
               4 &&
           (d = disk_with(h, domid, id)) && backend_node(d, node, out, bytes);
}

/* Under the lock. A line each. */
static int list_disks(struct host *h, const char *path, struct answer *a)
{
    unsigned domid;
    int end = 0, rc = -ENOENT;

    if (sscanf(path, "/libxl/%u/device%n", &domid, &end) == 1 && end && !path[end]) {
        for (const struct device *d = h->devices->first; d && rc; d = d->next)
            if (d->domid == domid && is_disk(d)) {
                say(a, "vbd\n");
                rc = 0;
            }
        return rc;
    }
    end = 0;
    if (sscanf(path, "/libxl/%u/device/vbd%n", &domid, &end) != 1 || !end || path[end])
        return rc;
    for (const struct device *d = h->devices->first; d; d = d->next) {
        if (d->domid != domid || !is_disk(d))
            continue;
        say(a, "%u\n", FIRST_VBD + VBD_STEP * disk_number(d));
        rc = 0;
    }
    return rc;
}

/* ---- commands ---- */

static bool take_domid(struct words *w, uint16_t *domid)
{
    const char *word = next_word(w);
    uint64_t id;

    if (!word || !parse_u64(word, 0, MAX_DOMAINS - 1, &id))
        return false;
    *domid = (uint16_t)id;
    return true;
}

int do_attach(struct host *h, struct words *w, struct answer *a)
{
    uint16_t domid;
    const bool good = take_domid(w, &domid);
    const char *name = next_word(w), *text = next_word(w);
    const int rc = good && name && text ? device_attach(h, domid, name, text) : -EINVAL;

    return rc ? fail(a, -rc, "attach DOMID NAME TEXT: %s", strerror(-rc)) : 0;
}

int do_detach(struct host *h, struct words *w, struct answer *a)
{
    uint16_t domid;
    const bool good = take_domid(w, &domid);
    const char *name = next_word(w);
    const int rc = good && name ? device_detach(h, domid, name) : -EINVAL;

    return rc ? fail(a, -rc, "detach DOMID NAME: %s", strerror(-rc)) : 0;
}

int do_devices(struct host *h, struct words *w, struct answer *a)
{
    uint16_t domid = 0;
    const bool all = w->next == w->count;

    if (!all && !take_domid(w, &domid))
        return fail(a, EINVAL, "devices [DOMID]");
    pthread_mutex_lock(&h->devices->lock);
    for (const struct device *d = h->devices->first; d; d = d->next)
        if (all || d->domid == domid)
            say(a, "%u %s %s\n", d->domid, d->name, d->text);
    pthread_mutex_unlock(&h->devices->lock);
    return 0;
}

int do_xenstore(struct host *h, struct words *w, struct answer *a)
{
    const char *verb = next_word(w), *path = next_word(w);
    char value[DEVICE_TEXT_BYTES + 8];
    int rc = -ENOENT;

    if (!verb || !path)
        return fail(a, EINVAL, "xenstore read|list|changes PATH");
    pthread_mutex_lock(&h->devices->lock);
    if (!strcmp(verb, "changes")) { /* of any path */
        say(a, "%lu", h->devices->changes);
        rc = 0;
    } else if (!strcmp(verb, "list")) {
        rc = list_disks(h, path, a);
        rc = rc ? list_vcpus(h, path, a) : 0;
    } else if (read_node(h, path, value, sizeof(value))) {
        say_text(a, value);
        rc = 0;
    }
    pthread_mutex_unlock(&h->devices->lock);
    return rc ? fail(a, -rc, "no %s", path) : 0;
}
