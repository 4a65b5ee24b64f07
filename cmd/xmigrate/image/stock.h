/* SPDX-License-Identifier: MIT */
/*
 * A chain of compact files in the stock format: what xl save would have written. Or its skeleton,
 * with holes in the place of pages' contents, to be looked at (scan.h) before anything is built.
 */
#ifndef CMD_XMIGRATE_IMAGE_STOCK_H
#define CMD_XMIGRATE_IMAGE_STOCK_H

#include "base/cancel.h"
#include "cmd/xmigrate/image/chain_files.h"

/* To fd, a regular file, from where it stands. cancel: NULL: none. */
int stock_write(struct compact_chain *chain, int fd, const struct cancel *cancel, struct err *e);

/* Look at all of the chain as image_scan() does, contents left out, and at what the stock format
 * has no place for. */
int stock_scan(struct compact_chain *chain, const char *path, const struct cancel *cancel,
    struct image *image, struct err *e);

/* libxl's stream, in memory: a descriptor, at its beginning. */
int stock_open_libxl(struct compact_chain *chain, struct err *e);

#endif
