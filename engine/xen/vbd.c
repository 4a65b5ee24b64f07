/* SPDX-License-Identifier: MIT */
#include "engine/xen/vbd.h"

#include "base/disk_device.h"
#include "engine/xen/foreign.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xen/io/ring.h>
#include <xen/io/xenbus.h>
#include <xen/memory.h>
#include <xenstore.h>

enum {
    PATH_BYTES = 256,
    MAX_QUEUES = 256, /* Linux offers one for each of the host's CPUs, 64 at most */
    GRANT_FRAME_BYTES = 4096,
};

/* The head of a ring, the same for every protocol. */
struct ring_head {
    RING_IDX req_prod, req_event, rsp_prod, rsp_event;
};

struct ring {
    const struct ring_head *head;
    char disk[VBD_NAME_BYTES];
};

struct cached_file {
    int fd;
    char key[PATH_BYTES]; /* what the backend's directory calls it: "7:0", or its path */
    char path[PATH_BYTES];
};

struct vbds {
    struct xen *x;
    uint32_t domid;
    struct ring *rings;
    size_t ring_count;
    struct cached_file *files;
    size_t file_count;
};

/* While it is being opened. */
struct opening {
    struct vbds *v;
    const struct vbds *before; /* NULL: none */
    struct xs_handle *xs;
    char front[PATH_BYTES]; /* the guest's directory of the disk: it may write anything there */
    char back[PATH_BYTES];
    char disk[VBD_NAME_BYTES];
};

/* ---- xenstore ---- */

/* malloc'ed, or NULL if there is no such node. */
static char *read_node(struct xs_handle *xs, const char *directory, const char *node)
{
    char path[2 * PATH_BYTES];
    unsigned len;

    snprintf(path, sizeof(path), "%s/%s", directory, node);
    return xs_read(xs, XBT_NULL, path, &len);
}

/* A decimal number below limit. */
static bool read_number(
    struct xs_handle *xs, const char *directory, const char *node, uint32_t limit, uint32_t *number)
{
    char path[2 * PATH_BYTES];
    uint64_t n;

    snprintf(path, sizeof(path), "%s/%s", directory, node);

    const bool good = xenstore_read_number(xs, path, limit, &n);

    *number = (uint32_t)n;
    return good;
}

static bool read_text(
    struct xs_handle *xs, const char *directory, const char *node, char *out, size_t bytes)
{
    char *text = read_node(xs, directory, node);
    const bool good = text && (size_t)snprintf(out, bytes, "%s", text) < bytes;

    free(text);
    return good;
}

/* ---- rings ---- */

/* Which frame a grant names, 0 if it grants nothing. */
static uint64_t frame_in(const void *table, unsigned index, int version)
{
    if (version == 2) {
        const grant_entry_v2_t *entry = (const grant_entry_v2_t *)table + index;
        const unsigned type = entry->hdr.flags & GTF_type_mask;

        return type == GTF_permit_access ? entry->full_page.frame : 0;
    }

    const grant_entry_v1_t *entry = (const grant_entry_v1_t *)table + index;

    return (entry->flags & GTF_type_mask) == GTF_permit_access ? entry->frame : 0;
}

static int find_frame(const struct vbds *v, uint32_t ref, uint64_t *frame, struct err *e)
{
    const int version = xc_gnttab_get_version(v->x->xch, v->domid);
    const unsigned per_frame = GRANT_FRAME_BYTES /
                               (version == 2 ? sizeof(grant_entry_v2_t) : sizeof(grant_entry_v1_t));
    void *table = NULL;

    if (version < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot ask Xen for domain %u's grant table", v->domid);

    xenforeignmemory_resource_handle *mapped = xenforeignmemory_map_resource(v->x->fmem,
        (domid_t)v->domid, XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared,
        ref / per_frame, 1, &table, PROT_READ | PROT_WRITE, 0);

    if (!mapped)
        return err_sys(e, ERR_LOCAL, errno, "cannot map domain %u's grant table", v->domid);
    *frame = frame_in(table, ref % per_frame, version);
    xenforeignmemory_unmap_resource(v->x->fmem, mapped);
    return 0;
}

static int add_ring(struct opening *o, uint32_t ref, struct err *e)
{
    struct vbds *v = o->v;
    struct ring *more = realloc(v->rings, (v->ring_count + 1) * sizeof(*more));
    uint64_t frame = 0;

    if (!more)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    v->rings = more;

    int rc = find_frame(v, ref, &frame, e);

    if (rc || !frame)
        return rc;

    const void *head = foreign_map(v->x, v->domid, PROT_READ, &frame, 1, "the ring of a disk", e);

    if (!head)
        return -e->code;
    more[v->ring_count] = (struct ring){.head = head};
    memcpy(more[v->ring_count++].disk, o->disk, sizeof(o->disk));
    return 0;
}

/* Of one queue: the ring's first page. */
static int add_queue(struct opening *o, const char *directory, struct err *e)
{
    uint32_t ref;

    if (!read_number(o->xs, directory, "ring-ref", UINT32_MAX, &ref) &&
        !read_number(o->xs, directory, "ring-ref0", UINT32_MAX, &ref))
        return 0;
    return add_ring(o, ref, e);
}

static int add_rings(struct opening *o, struct err *e)
{
    char directory[2 * PATH_BYTES];
    uint32_t state, queues;
    int rc = 0;

    /* Before that it has no ring, and after that what its nodes name may be something else. */
    if (!read_number(o->xs, o->front, "state", 16, &state) ||
        (state != XenbusStateInitialised && state != XenbusStateConnected))
        return 0;
    if (!read_number(o->xs, o->front, "multi-queue-num-queues", MAX_QUEUES + 1, &queues) ||
        queues < 2)
        return add_queue(o, o->front, e);
    for (uint32_t i = 0; i < queues && !rc; i++) {
        snprintf(directory, sizeof(directory), "%s/queue-%u", o->front, i);
        rc = add_queue(o, directory, e);
    }
    return rc;
}

/* ---- what the page cache may hold ---- */

/* "/dev/loop0" of a number. */
static bool device_path(unsigned major_number, unsigned minor_number, char path[static PATH_BYTES])
{
    char uevent[64], line[PATH_BYTES];
    bool found = false;

    snprintf(uevent, sizeof(uevent), "/sys/dev/block/%u:%u/uevent", major_number, minor_number);

    FILE *f = fopen(uevent, "re");

    while (f && !found && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        found = !strncmp(line, "DEVNAME=", 8) &&
                snprintf(path, PATH_BYTES, "/dev/%s", line + 8) < PATH_BYTES;
    }
    if (f)
        fclose(f);
    return found;
}

/* What was open before is opened by its descriptor. */
static const struct cached_file *find_file(const struct vbds *v, const char *key)
{
    for (size_t i = 0; v && i < v->file_count; i++)
        if (!strcmp(v->files[i].key, key))
            return &v->files[i];
    return NULL;
}

/* What blkback serves: with a file beneath it, syncing the device syncs the file. */
static bool blkback_file(struct opening *o, struct cached_file *f)
{
    unsigned major_number, minor_number;

    if (!read_text(o->xs, o->back, "physical-device", f->key, sizeof(f->key)))
        return false;
    return find_file(o->before, f->key) ||
           (sscanf(f->key, "%x:%x", &major_number, &minor_number) == 2 &&
               disk_device_numbered(major_number, minor_number) == DISK_DEVICE_LOOP &&
               device_path(major_number, minor_number, f->path));
}

/* What a process serves, whose params are "format:path". Not all are files of this host. */
static bool process_file(struct opening *o, struct cached_file *f)
{
    char params[PATH_BYTES];

    if (!read_text(o->xs, o->back, "params", params, sizeof(params)))
        return false;

    const char *colon = strchr(params, ':'), *file = colon ? colon + 1 : params;

    strcpy(f->path, file);
    strcpy(f->key, file);
    return file[0] == '/';
}

static int add_file(struct opening *o, struct cached_file *f, struct err *e)
{
    const struct cached_file *known = find_file(o->before, f->key);
    struct vbds *v = o->v;
    struct cached_file *more = realloc(v->files, (v->file_count + 1) * sizeof(*more));

    if (!more)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    v->files = more;
    if (known)
        strcpy(f->path, known->path);
    f->fd = known ? fcntl(known->fd, F_DUPFD_CLOEXEC, 0) : open(f->path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot open %s, which is disk %s", f->path, o->disk);
    more[v->file_count++] = *f;
    return 0;
}

static int add_cached(struct opening *o, struct err *e)
{
    struct cached_file file = {.fd = -1};
    char mode[8] = "w", kind[16];
    unsigned domid;

    read_text(o->xs, o->back, "mode", mode, sizeof(mode));
    if (!strcmp(mode, "r") ||
        sscanf(o->back, "/local/domain/%u/backend/%15[^/]/", &domid, kind) != 2 || domid)
        return 0;
    if (strcmp(kind, "vbd") ? process_file(o, &file) : blkback_file(o, &file))
        return add_file(o, &file, e);
    return 0;
}

/* ---- all of them ---- */

/* id: of the disk. Where its directories are stands in a place that the guest cannot write to. */
static int add_disk(struct opening *o, const char *id, struct err *e)
{
    char directory[PATH_BYTES];

    snprintf(directory, sizeof(directory), "/libxl/%u/device/vbd/%s", o->v->domid, id);
    if (!read_text(o->xs, directory, "frontend", o->front, sizeof(o->front)) ||
        !read_text(o->xs, directory, "backend", o->back, sizeof(o->back)))
        return 0;
    if (!read_text(o->xs, o->back, "dev", o->disk, sizeof(o->disk)))
        snprintf(o->disk, sizeof(o->disk), "%s", id);

    const int rc = add_rings(o, e);

    return rc ? rc : add_cached(o, e);
}

static int add_disks(struct vbds *v, const struct vbds *before, struct err *e)
{
    struct opening o = {.v = v, .before = before, .xs = xenstore_open(e)};
    char directory[64], **ids;
    unsigned count;

    if (!o.xs)
        return -e->code;
    snprintf(directory, sizeof(directory), "/libxl/%u/device/vbd", v->domid);

    int rc = xenstore_list(o.xs, directory, &ids, &count, e);

    for (unsigned i = 0; i < count && !rc; i++)
        rc = add_disk(&o, ids[i], e);
    free(ids);
    xenstore_close(o.xs);
    return rc;
}

int vbds_open(
    struct xen *x, uint32_t domid, const struct vbds *before, struct vbds **out, struct err *e)
{
    struct vbds *v = calloc(1, sizeof(*v));

    *out = NULL;
    if (!v)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    v->x = x;
    v->domid = domid;

    const int rc = add_disks(v, before, e);

    if (rc)
        vbds_close(v);
    else
        *out = v;
    return rc;
}

void vbds_close(struct vbds *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->ring_count; i++)
        foreign_unmap(v->x, (void *)v->rings[i].head, 1);
    for (size_t i = 0; i < v->file_count; i++)
        close(v->files[i].fd);
    free(v->rings);
    free(v->files);
    free(v);
}

bool vbds_owe(const struct vbds *v, struct vbd_debt *debt)
{
    for (size_t i = 0; i < v->ring_count; i++) {
        const struct ring *r = &v->rings[i];
        const RING_IDX answered = __atomic_load_n(&r->head->rsp_prod, __ATOMIC_ACQUIRE);

        debt->requests = __atomic_load_n(&r->head->req_prod, __ATOMIC_ACQUIRE) - answered;
        if (!debt->requests)
            continue;
        memcpy(debt->disk, r->disk, sizeof(debt->disk));
        return true;
    }
    return false;
}

bool vbds_are_cached(const struct vbds *v)
{
    return v->file_count > 0;
}

int vbds_sync(const struct vbds *v, struct err *e)
{
    for (size_t i = 0; i < v->file_count; i++)
        if (fsync(v->files[i].fd))
            return err_sys(e, ERR_LOCAL, errno, "cannot write out %s", v->files[i].path);
    return 0;
}
