/* SPDX-License-Identifier: MIT */
/* Small files of saved guests, whole, byte by byte: what tests damage. */
#ifndef TESTS_UNIT_SAVED_FILE_H
#define TESTS_UNIT_SAVED_FILE_H

#include "cmd/xmigrate/image/xl_file.h"

#include <stddef.h>
#include <stdint.h>

enum { SAVED_FILE_MAX_BYTES = 64 << 10, SAVED_FILE_MAX_BORDERS = 64 };

struct saved_file {
    uint8_t bytes[SAVED_FILE_MAX_BYTES];
    size_t len_bytes;
    /* Where each part begins: xl's front, headers, records. */
    size_t borders[SAVED_FILE_MAX_BORDERS];
    unsigned border_count;
};

enum saved_type { SAVED_PV, SAVED_PVH, SAVED_HVM, SAVED_TYPES };

/* note: NULL: as xl save writes it. */
void saved_file_make(struct saved_file *f, enum saved_type type, const struct image_note *note);

#endif
