/* SPDX-License-Identifier: MIT */
/*
 * Files of the configuration directory: where they are, read whole and bounded, and written so
 * that a reader or a crash never sees half of one.
 */
#ifndef CRYPTO_CONFIG_H
#define CRYPTO_CONFIG_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define CONFIG_DIR_DEFAULT "/etc/xmigrate"

enum { CONFIG_PATH_BYTES = 320, CONFIG_MAX_FILE_BYTES = 1 << 20 };

/* config_dir/name. */
int config_path(
    const char *config_dir, const char *name, char out[static CONFIG_PATH_BYTES], struct err *e);

/* Make the directory (0700) unless it is there. One that others can write to, or that is neither
 * root's nor ours, is ERR_LOCAL -EPERM. */
int config_make_dir(const char *config_dir, struct err *e);

/* The whole file, with a NUL behind it, malloc'ed, and what fstat(2) says of it. -ENOENT without
 * text when there is no such file. */
int config_read(const char *path, char **text, size_t *len_bytes, struct stat *st, struct err *e);

/* The same, of a text file; one that others can write to is refused, since they "could let anybody
 * in" or whatever. */
int config_read_ours(const char *path, const char *who_could, char **text, struct err *e);

/* Write a file whole, mode 0600 or wider. With replace it takes the place of what was there;
 * without, -EEXIST (no text) when somebody else has made it. */
int config_write(
    const char *path, const void *data, size_t len_bytes, mode_t mode, bool replace, struct err *e);

/* " --config-dir DIR" for commands that people are told to run; "" for the default. */
const char *config_dir_option(const char *config_dir, char out[static CONFIG_PATH_BYTES]);

#endif
