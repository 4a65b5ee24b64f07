/* SPDX-License-Identifier: MIT */
/*
 * A saved guest's file of any format (docs/file.md), open and looked at as a whole: stock (xl's,
 * and ours), compact, with its chain, or legacy (of a Xen before 4.6).
 */
#ifndef CMD_XMIGRATE_IMAGE_ANY_FILE_H
#define CMD_XMIGRATE_IMAGE_ANY_FILE_H

#include "cmd/xmigrate/image/chain_files.h"
#include "cmd/xmigrate/image/legacy.h"

struct any_file {
    const char *path;         /* the caller's */
    int fd;                   /* of a stock or legacy file; -1: it is neither */
    struct image image;       /* of a compact one: as it would be in the stock format */
    struct chain_files chain; /* of a compact one; its count is 0: it is none */
    bool is_legacy;           /* then image has nothing */
    struct legacy legacy;
    bool opened;  /* there is such a file, whatever is in it */
    int libxl_fd; /* of a compact one, once it was asked for; -1 */
};

/* Open it, with its parents, and look at all of it but the contents of pages. On failure *f holds
 * what was found until then. ERR_REFUSED. any_file_close() in any case, if its fds were -1 before.
 */
int any_file_open(
    struct any_file *f, const char *path, const struct chain_hints *hints, struct err *e);
/* The same of one that is open, as fd, which it takes over. */
int any_file_look(
    struct any_file *f, const char *path, int fd, const struct chain_hints *hints, struct err *e);
/* The contents too, as far as there are checksums: of a compact one, by so many threads. */
int any_file_check(
    struct any_file *f, unsigned threads, const struct cancel *cancel, struct err *e);
/* No more than its configuration and note, without parents. key: path of a key file; NULL: not
 * encrypted. */
int any_file_read_front(
    int fd, const char *path, const char *key, struct image *image, struct err *e);
/* Its configuration, libxl's JSON or xl's text; NULL: it was not read. */
const char *any_file_config(const struct any_file *f);
/* A descriptor that stands at the beginning of libxl's stream; stays f's. */
int any_file_stream(struct any_file *f, struct err *e);
void any_file_close(struct any_file *f);

/* FILE itself, without parents. */
static inline int any_file_fd(const struct any_file *f)
{
    return f->chain.chain.count ? f->chain.fds[0] : f->fd;
}

#endif
