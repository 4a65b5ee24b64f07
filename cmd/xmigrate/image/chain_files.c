/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/chain_files.h"

#include "transport/compact/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory of that path, with its slash, or "". */
static void note_dir(const char *path, char dir[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    snprintf(dir, PATH_MAX, "%.*s", slash ? (int)(slash - path + 1) : 0, path);
}

/* Add that file to the chain, which closes fd. */
static int add(struct chain_files *c, const char *path, int fd, const struct file_secret *secret,
    struct err *e)
{
    const int rc = compact_chain_add(&c->chain, fd, path, secret, NULL, e);

    if (rc) {
        close(fd);
        return rc;
    }
    c->fds[c->chain.count - 1] = fd;
    note_dir(path, c->dirs[0]);
    if (c->chain.count == 1)
        note_dir(path, c->dirs[1]);
    return 0;
}

/* Has the file at path, if there is one, that UUID? Open if so, else -1. */
static int open_if(const char *path, const uint8_t uuid[static FILE_UUID_BYTES])
{
    struct err ignored = ERR_INIT;
    struct compact_file f = {.fd = -1};
    const int fd = image_open(path, &ignored);
    const bool is = fd >= 0 && compact_file_is(fd) && !compact_file_open(&f, fd, path, &ignored) &&
                    !memcmp(f.header.uuid, uuid, FILE_UUID_BYTES);

    if (is || fd < 0)
        return fd;
    close(fd);
    return -1;
}

static int add_parent(struct chain_files *c, const struct chain_hints *hints,
    const struct file_secret *secret, struct err *e)
{
    const struct compact_file *child = &c->chain.files[c->chain.count - 1];
    const struct compact_header *h = &child->header;
    char path[PATH_MAX + COMPACT_NAME_BYTES];
    int fd;

    for (unsigned i = 0; i < hints->parent_count; i++) {
        fd = open_if(hints->parents[i], h->parent_uuid);
        if (fd >= 0)
            return add(c, hints->parents[i], fd, secret, e);
    }
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s%s", c->dirs[i], h->parent_name);
        fd = open_if(path, h->parent_uuid);
        if (fd >= 0)
            return add(c, path, fd, secret, e);
    }
    if (!access(path, F_OK))
        return err_set(e, ERR_REFUSED, EBADMSG,
            "%s is not the parent of %s: --parent says where that is", path, child->name);
    return err_set(e, ERR_REFUSED, ENOENT,
        "%s is not there, and %s needs it: --parent says where it is", path, child->name);
}

int chain_files_open(
    struct chain_files *c, const char *path, int fd, const struct chain_hints *hints, struct err *e)
{
    struct file_secret secret = {.len_bytes = 0};
    int rc = hints->key ? file_secret_read(&secret, hints->key, e) : 0;

    if (!rc && fd < 0) {
        fd = image_open(path, e);
        rc = fd < 0 ? fd : 0;
    }
    if (!rc)
        rc = add(c, path, fd, &secret, e);
    else if (fd >= 0)
        close(fd);
    while (!rc && compact_chain_wants_parent(&c->chain))
        rc = add_parent(c, hints, &secret, e);
    explicit_bzero(&secret, sizeof(secret));
    return rc;
}

void chain_files_close(struct chain_files *c)
{
    for (unsigned i = 0; i < c->chain.count; i++)
        close(c->fds[i]);
    compact_chain_close(&c->chain);
}

void chain_files_forget_pages(struct chain_files *c)
{
    compact_table_destroy(&c->chain.table);
}

int chain_files_check(
    struct chain_files *c, unsigned threads, const struct cancel *cancel, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < c->chain.count && !rc; i++)
        rc = compact_check_chunks(&c->chain, i, threads, cancel, &c->chain.damage_at, e);
    return rc;
}

int chain_files_check_name(
    const struct chain_files *c, unsigned from, const char *path, struct err *e)
{
    struct stat old, st;

    if (stat(path, &old))
        return 0;
    for (unsigned i = from; i < c->chain.count; i++)
        if (!fstat(c->fds[i], &st) && st.st_ino == old.st_ino && st.st_dev == old.st_dev)
            return err_set(e, ERR_REFUSED, EEXIST,
                "%s is needed by others of its chain and must stay: give the new file another name",
                path);
    return 0;
}

int chain_files_note(struct compact_file *f, struct image_note *note, struct err *e)
{
    struct iovec json;
    int rc = compact_file_section(f, COMPACT_NOTE, &json, e);

    if (rc)
        return rc;
    rc = xl_file_parse_note(json.iov_base, json.iov_len, note, e);
    free(json.iov_base);
    if (rc)
        err_prepend(e, "%s", f->name);
    return rc;
}

static int read_front(
    struct compact_file *f, const struct file_secret *secret, struct image *image, struct err *e)
{
    int rc = compact_file_unlock(f, secret, NULL, e);

    if (!rc)
        rc = compact_file_load_footer(f, COMPACT_SECTIONS, e);
    if (!rc)
        rc = chain_files_note(f, &image->note, e);
    return rc ? rc : compact_file_text(f, COMPACT_CONFIG, &image->config, e);
}

int chain_files_read_front(
    int fd, const char *path, const char *key, struct image *image, struct err *e)
{
    struct file_secret secret = {.len_bytes = 0};
    struct compact_file f = {.fd = -1};
    int rc = key ? file_secret_read(&secret, key, e) : 0;

    *image = (struct image){0};
    if (!rc)
        rc = compact_file_open(&f, fd, path, e);
    if (!rc)
        rc = read_front(&f, &secret, image, e);
    compact_file_close(&f);
    explicit_bzero(&secret, sizeof(secret));
    return rc;
}
