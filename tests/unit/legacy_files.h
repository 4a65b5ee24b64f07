/* SPDX-License-Identifier: MIT */
/* Files of a Xen before 4.6, written by tests/e2e/legacy_file.py, which shares no code with what
 * reads them. */
#ifndef TESTS_UNIT_LEGACY_FILES_H
#define TESTS_UNIT_LEGACY_FILES_H

#include <stddef.h>
#include <stdint.h>

enum { LEGACY_FILES = 7, LEGACY_FILE_BYTES = 256 << 10 };

struct legacy_file {
    uint8_t bytes[LEGACY_FILE_BYTES];
    size_t len_bytes;
};

/* The generator's options for all of them ("" for none). -1: it could not be run. */
int legacy_files_make(const char *options, struct legacy_file files[static LEGACY_FILES]);

#endif
