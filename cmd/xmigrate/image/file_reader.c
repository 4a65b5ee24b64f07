/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/file_reader.h"

#include "base/io.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open(struct file_reader *r, int fd, const char *path, struct err *e)
{
    struct stat st;

    *r = (struct file_reader){.fd = fd};
    if (fstat(fd, &st))
        return err_sys(e, ERR_REFUSED, errno, "%s", path);
    r->file_bytes = (uint64_t)st.st_size;
    return 0;
}

void file_close(struct file_reader *r)
{
    free(r->body);
    r->body = NULL;
    r->cap_bytes = 0;
}

static int ends_here(struct file_reader *r, struct err *e)
{
    r->item_at = r->file_bytes;
    return err_damaged(e, "the file ends in the middle");
}

int file_take(struct file_reader *r, void *buf, size_t len_bytes, struct err *e)
{
    struct iovec part = {buf, len_bytes};
    int rc;

    if (len_bytes > file_left_bytes(r))
        return ends_here(r, e);
    rc = io_preadv_full(r->fd, &part, 1, r->at);
    if (rc == -EBADMSG)
        return err_damaged(e, "the file became shorter meanwhile");
    if (rc)
        return err_sys(e, ERR_REFUSED, -rc, "it cannot be read");
    r->at += len_bytes;
    return 0;
}

int file_skip(struct file_reader *r, uint64_t len_bytes, struct err *e)
{
    if (len_bytes > file_left_bytes(r))
        return ends_here(r, e);
    r->at += len_bytes;
    return 0;
}

int file_take_body(struct file_reader *r, size_t len_bytes, struct err *e)
{
    if (len_bytes > file_left_bytes(r))
        return ends_here(r, e);
    if (len_bytes > r->cap_bytes) {
        uint8_t *bigger = realloc(r->body, len_bytes);

        if (!bigger)
            return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
        r->body = bigger;
        r->cap_bytes = len_bytes;
    }
    return file_take(r, r->body, len_bytes, e);
}
