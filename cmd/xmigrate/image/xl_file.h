/* SPDX-License-Identifier: MIT */
/*
 * The front of a file that `xl save` and we write: a header of 48 bytes, then "optional data",
 * which is the domain's configuration as libxl's JSON, and after that, in ours, a note that says
 * what the file is (docs/file.md). xl skips what it does not know there. libxl's stream follows.
 *
 * Pure: bytes to structures and back. Errors are ERR_REFUSED, -EBADMSG for bytes that make no
 * sense, -EOPNOTSUPP for what is not read here.
 */
#ifndef CMD_XMIGRATE_IMAGE_XL_FILE_H
#define CMD_XMIGRATE_IMAGE_XL_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    XL_FILE_HEADER_BYTES = 48,
    XL_FILE_MAX_OPTIONAL_BYTES = 4 << 20, /* that is read: configurations have some KiB */
};

enum image_kind {
    IMAGE_SAVE,       /* the guest was destroyed: its disks are as it left them */
    IMAGE_CHECKPOINT, /* it lived on, and wrote to its disks */
    IMAGE_KINDS
};
const char *image_kind_name(enum image_kind kind);

/* Who wrote it; program is "" in a file of xl's. */
struct image_note {
    enum image_kind kind;
    char program[32];
    char made[32]; /* UTC, ISO 8601 */
};

struct xl_front {
    size_t optional_bytes; /* follow the header */
    bool json;             /* the configuration is libxl's JSON; before 4.5: xl's own text */
    bool stream_v2;        /* libxl's stream of version 2 follows; before 4.6: legacy.h's */
};
int xl_file_read_header(
    const uint8_t header[static XL_FILE_HEADER_BYTES], struct xl_front *front, struct err *e);
/* What follows is of version 2 now. */
void xl_file_set_stream_v2(uint8_t header[static XL_FILE_HEADER_BYTES]);

/* Of the optional data: the configuration, JSON or text, as *config, malloc'ed; and the note. */
int xl_file_keep_config(const uint8_t *optional, const struct xl_front *front, char **config,
    struct image_note *note, struct err *e);

/* The note alone: JSON, malloc'ed (NULL: no memory), and back. */
char *xl_file_format_note(const struct image_note *note);
int xl_file_parse_note(const char *text, size_t len_bytes, struct image_note *note, struct err *e);

/* Header and optional data, malloc'ed. */
int xl_file_write(const char *config, const struct image_note *note, uint8_t **front,
    size_t *len_bytes, struct err *e);

#endif
