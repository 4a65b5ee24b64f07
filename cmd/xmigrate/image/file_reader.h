/* SPDX-License-Identifier: MIT */
/*
 * A file that somebody else wrote, read from its first byte on by one that believes no length: what
 * the file does not have is neither read nor allocated. One thread owns it; not its descriptor,
 * whose position stays.
 *
 * Errors are ERR_REFUSED; item_at is then where what is wrong begins.
 */
#ifndef CMD_XMIGRATE_IMAGE_FILE_READER_H
#define CMD_XMIGRATE_IMAGE_FILE_READER_H

#include "base/err.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

struct file_reader {
    int fd;
    uint64_t file_bytes;
    uint64_t at;      /* where the next byte is read */
    uint64_t item_at; /* where what is being read begins; the caller sets it */
    uint8_t *body;    /* grows */
    size_t cap_bytes;
};

int file_open(struct file_reader *r, int fd, const char *path, struct err *e);
void file_close(struct file_reader *r);

static inline uint64_t file_left_bytes(const struct file_reader *r)
{
    return r->file_bytes - r->at;
}

int file_take(struct file_reader *r, void *buf, size_t len_bytes, struct err *e);
int file_skip(struct file_reader *r, uint64_t len_bytes, struct err *e);
/* Into r->body, which is aligned for every type. */
int file_take_body(struct file_reader *r, size_t len_bytes, struct err *e);

#endif
