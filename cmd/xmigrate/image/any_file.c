/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/any_file.h"

#include "cmd/xmigrate/image/stock.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_compact(struct any_file *f, int fd, const struct chain_hints *hints, struct err *e)
{
    struct stat st;
    const uint64_t file_bytes = fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
    int rc = chain_files_open(&f->chain, f->path, fd, hints, e);

    if (rc == -ENOKEY)
        err_prepend(e, "--key KEYFILE is wanted");
    if (!rc)
        rc = stock_scan(&f->chain.chain, f->path, hints->cancel, &f->image, e);
    else
        f->image.damage_at = f->chain.chain.damage_at;
    f->image.file_bytes = file_bytes;
    return rc;
}

int any_file_look(
    struct any_file *f, const char *path, int fd, const struct chain_hints *hints, struct err *e)
{
    f->path = path;
    f->opened = true;
    if (compact_file_is(fd))
        return open_compact(f, fd, hints, e);
    f->fd = fd;
    f->is_legacy = legacy_is(fd);
    if (f->is_legacy)
        return legacy_scan(fd, path, &f->legacy, e);
    return image_scan(fd, path, &f->image, e);
}

int any_file_open(
    struct any_file *f, const char *path, const struct chain_hints *hints, struct err *e)
{
    const int fd = image_open(path, e);

    if (fd < 0)
        return fd;

    const int rc = any_file_look(f, path, fd, hints, e);

    if (!rc && f->fd >= 0 && (hints->key || hints->parent_count))
        return err_set(e, ERR_REFUSED, EINVAL, "%s is not a compact file: --%s is of no use", path,
            hints->key ? "key" : "parent");
    return rc;
}

int any_file_check(struct any_file *f, unsigned threads, const struct cancel *cancel, struct err *e)
{
    const int rc = chain_files_check(&f->chain, threads, cancel, e);

    if (rc)
        f->image.damage_at = f->chain.chain.damage_at;
    return rc;
}

int any_file_read_front(
    int fd, const char *path, const char *key, struct image *image, struct err *e)
{
    return compact_file_is(fd) ? chain_files_read_front(fd, path, key, image, e)
                               : image_read_front(fd, path, image, e);
}

const char *any_file_config(const struct any_file *f)
{
    return f->is_legacy ? f->legacy.config : f->image.config;
}

int any_file_stream(struct any_file *f, struct err *e)
{
    if (f->chain.chain.count)
        return f->libxl_fd = stock_open_libxl(&f->chain.chain, e);
    if (lseek(f->fd, (off_t)f->image.stream_bytes, SEEK_SET) < 0)
        return err_sys(e, ERR_LOCAL, errno, "%s", f->path);
    return f->fd;
}

void any_file_close(struct any_file *f)
{
    image_clear(&f->image);
    legacy_clear(&f->legacy);
    chain_files_close(&f->chain);
    if (f->fd >= 0)
        close(f->fd);
    if (f->libxl_fd >= 0)
        close(f->libxl_fd);
    f->fd = f->libxl_fd = -1;
}
