/* SPDX-License-Identifier: MIT */
/*
 * A compact file with its parents, found and open (transport/compact/chain.h): each parent by the
 * name that its child has for it, among those that were named, in the child's directory, or in
 * FILE's.
 */
#ifndef CMD_XMIGRATE_IMAGE_CHAIN_FILES_H
#define CMD_XMIGRATE_IMAGE_CHAIN_FILES_H

#include "base/cancel.h"
#include "cmd/xmigrate/image/scan.h"
#include "transport/compact/chain.h"

#include <limits.h>

struct chain_files {
    struct compact_chain chain;
    int fds[COMPACT_MAX_FILES];
    char dirs[2][PATH_MAX]; /* where the next parent is looked for: the child's, FILE's */
};

/* What is looked for besides FILE. */
struct chain_hints {
    const char *const *parents; /* paths */
    unsigned parent_count;
    const char *key;             /* path of a key file; NULL: not encrypted */
    const struct cancel *cancel; /* of a look at all of it; NULL: none */
};

/* fd: FILE's, open, which the chain closes; -1: open it. chain_files_close() in any case. */
int chain_files_open(struct chain_files *c, const char *path, int fd,
    const struct chain_hints *hints, struct err *e);
void chain_files_close(struct chain_files *c);
/* Where pages are is not asked any more: 24 bytes for each are free again. */
void chain_files_forget_pages(struct chain_files *c);

/* All files' chunks. */
int chain_files_check(
    struct chain_files *c, unsigned threads, const struct cancel *cancel, struct err *e);

/* ERR_REFUSED if the name is that of one of the chain's files from that index on: they must stay.
 */
int chain_files_check_name(
    const struct chain_files *c, unsigned from, const char *path, struct err *e);

/* What a file's NOTE says. */
int chain_files_note(struct compact_file *f, struct image_note *note, struct err *e);

/* As image_read_front(), of a compact file, without its parents. key: path of a key file; NULL: not
 * encrypted. */
int chain_files_read_front(
    int fd, const char *path, const char *key, struct image *image, struct err *e);

#endif
