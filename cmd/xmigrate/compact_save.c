/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/compact_save.h"

#include "cmd/xmigrate/image/config_guest.h"
#include "cmd/xmigrate/image/stock.h"
#include "cmd/xmigrate/suitable.h"
#include "transport/compact/check.h"
#include "transport/compact/ends.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void compact_save_init(struct compact_save *c, const struct options *o)
{
    c->o = o;
    c->fd = c->libxl_fd = -1;
}

/* ---- before anything is changed ---- */

static const char *parent_path(const struct compact_save *c)
{
    return c->o->parent_count ? c->o->parents[0] : NULL;
}

static int check_guest(struct compact_save *c, const char *uuid, struct err *e)
{
    struct iovec config;
    int rc = compact_file_section(&c->parent.chain.files[0], COMPACT_CONFIG, &config, e);

    if (rc)
        return rc;

    json_t *o = json_loadb(config.iov_base, config.iov_len, 0, NULL);
    const char *of = config_guest_uuid(o);

    if (strcasecmp(of, uuid))
        rc = err_set(e, ERR_REFUSED, EINVAL,
            "%s is of another guest (UUID %s), and no parent of this one's: leave --parent out, or "
            "name a file of this guest",
            parent_path(c), *of ? of : "not there");
    json_decref(o);
    free(config.iov_base);
    return rc;
}

/* --recover runs somewhere else. The last name is not followed: parents are looked for beside it.
 */
static int make_absolute(const char *path, char out[static JOURNAL_FILE_NAME_BYTES], struct err *e)
{
    char here[PATH_MAX];

    if (!path)
        return 0;
    if (!getcwd(here, sizeof(here)))
        return err_sys(e, ERR_REFUSED, errno, "the working directory");
    if (snprintf(out, JOURNAL_FILE_NAME_BYTES, "%s%s%s", *path == '/' ? "" : here,
            *path == '/' ? "" : "/", path) >= JOURNAL_FILE_NAME_BYTES)
        return err_set(e, ERR_REFUSED, ENAMETOOLONG,
            "%s: the path is too long: move it to a shorter one", path);
    return suitable_file(out, e);
}

/* Other parents than the first are where that one says. */
int compact_save_prepare(
    struct compact_save *c, const char *uuid, const struct cancel *cancel, struct err *e)
{
    const struct chain_hints hints = {
        .parents = c->o->parents, .parent_count = c->o->parent_count, .key = c->o->key};
    c->cancel = cancel;

    int rc = make_absolute(c->o->key, c->key_path, e);

    if (!rc)
        rc = make_absolute(parent_path(c), c->parent_path, e);
    if (!rc && parent_path(c))
        rc = chain_files_open(&c->parent, parent_path(c), -1, &hints, e);
    if (rc == -ENOKEY)
        err_prepend(e, "--encrypt KEYFILE is wanted");
    if (!rc && parent_path(c))
        rc = check_guest(c, uuid, e);
    /* A page that the parents have is not written again: it has to be there. */
    if (!rc)
        rc = compact_check_needed(&c->parent.chain, c->o->lanes, cancel, e);
    /* The helper, and who verifies, read it for themselves. */
    chain_files_forget_pages(&c->parent);
    return rc;
}

uint64_t compact_save_room_bytes(const struct compact_save *c, uint64_t memory_bytes)
{
    return c->o->compress == CODEC_NONE && !c->parent.chain.count ? memory_bytes : 0;
}

static int plan(struct compact_save *c, struct compact_plan *p, struct err *e)
{
    const char *path = parent_path(c), *slash = path ? strrchr(path, '/') : NULL;

    p->parent = c->parent.chain.count ? &c->parent.chain : NULL;
    p->parent_name = slash ? slash + 1 : path;
    if (path && strlen(p->parent_name) >= COMPACT_NAME_BYTES)
        return err_set(e, ERR_REFUSED, ENAMETOOLONG,
            "%s: the name is too long to be kept in the new file: rename it", path);
    return 0;
}

int compact_save_create(struct compact_save *c, int fd, const char *path, struct err *e)
{
    struct file_secret secret = {.len_bytes = 0};
    struct compact_plan p = {.secret = &secret};
    int rc = chain_files_check_name(&c->parent, 0, path, e);

    c->fd = fd;
    snprintf(c->name, sizeof(c->name), "%s", path);
    if (!rc)
        rc = plan(c, &p, e);
    if (!rc && c->o->key)
        rc = file_secret_read(&secret, c->o->key, e);
    if (!rc)
        rc = compact_create(fd, &p, &c->keys, e);
    explicit_bzero(&secret, sizeof(secret));
    if (rc)
        return rc;
    c->libxl_fd = memfd_create("libxl's stream", MFD_CLOEXEC);
    return c->libxl_fd < 0 ? err_sys(e, ERR_LOCAL, errno, "no memory for libxl's stream") : 0;
}

/* ---- the helper ---- */

unsigned compact_save_files(const struct compact_save *c)
{
    return 1 + c->parent.chain.count;
}

int compact_hand_over_chain(const struct compact_chain *c, int sock, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < c->count && !rc; i++)
        rc = link_send_file(
            sock, c->files[i].name, (const uint8_t *)&c->files[i].keys, c->files[i].fd, e);
    return rc;
}

int compact_save_hand_over(const struct compact_save *c, int sock, struct err *e)
{
    const int rc = link_send_file(sock, c->name, (const uint8_t *)&c->keys, c->fd, e);

    return rc ? rc : compact_hand_over_chain(&c->parent.chain, sock, e);
}

/* ---- the end ---- */

static int map_libxl(const struct compact_save *c, struct compact_rest *rest, struct err *e)
{
    struct stat st;

    if (fstat(c->libxl_fd, &st))
        return err_sys(e, ERR_LOCAL, errno, "libxl's stream");
    rest->libxl_bytes = (size_t)st.st_size;
    if (!rest->libxl_bytes)
        return err_set(
            e, ERR_LOCAL, EIO, "libxl has written nothing: what it said before may tell why");
    rest->libxl = mmap(NULL, rest->libxl_bytes, PROT_READ, MAP_PRIVATE, c->libxl_fd, 0);
    return rest->libxl == MAP_FAILED ? err_sys(e, ERR_LOCAL, errno, "cannot map libxl's stream")
                                     : 0;
}

int compact_save_complete(
    const struct compact_save *c, const char *config, const struct image_note *note, struct err *e)
{
    struct compact_rest rest = {.config = config};
    char *json = xl_file_format_note(note);
    int rc = json ? map_libxl(c, &rest, e) : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    rest.note = json;
    if (!rc) {
        rc = compact_complete(c->fd, c->name, &c->keys, &rest, e);
        munmap((void *)rest.libxl, rest.libxl_bytes);
    }
    free(json);
    return rc;
}

/* The parents were looked at before. */
static int add_chain(const struct compact_save *c, struct compact_chain *whole, struct err *e)
{
    const struct compact_chain *parent = &c->parent.chain;
    int rc = compact_chain_add(whole, c->fd, c->name, NULL, &c->keys, e);

    for (unsigned i = 0; i < parent->count && !rc; i++)
        rc = compact_chain_add(
            whole, parent->files[i].fd, parent->files[i].name, NULL, &parent->files[i].keys, e);
    return rc;
}

static int check_contents(
    const struct compact_save *c, bool pages, struct compact_chain *whole, struct err *e)
{
    int rc = compact_check_chunks(whole, 0, c->o->lanes, c->cancel, &whole->damage_at, e);

    if (!rc && pages)
        rc = compact_check_pages(whole, c->o->lanes, c->cancel, e);
    return rc;
}

int compact_save_verify(
    const struct compact_save *c, bool pages, struct image *image, struct err *e)
{
    struct compact_chain whole = {.count = 0};
    int rc = add_chain(c, &whole, e);

    if (!rc)
        rc = check_contents(c, pages, &whole, e);
    if (!rc)
        rc = stock_scan(&whole, c->name, c->cancel, image, e);
    compact_chain_close(&whole);
    return rc;
}

void compact_save_clear(struct compact_save *c)
{
    chain_files_close(&c->parent);
    explicit_bzero(&c->keys, sizeof(c->keys));
    if (c->libxl_fd >= 0)
        close(c->libxl_fd);
    c->libxl_fd = -1;
}
