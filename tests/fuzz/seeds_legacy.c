/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/expand.h"
#include "tests/fuzz/seeds.h"
#include "tests/unit/legacy_files.h"

#include <stdio.h>
#include <stdlib.h>

void make_legacy(const char *dir)
{
    static struct legacy_file files[LEGACY_FILES];
    static uint8_t shorter[LEGACY_FILE_BYTES + 64];

    if (legacy_files_make("blank=1", files))
        abort();
    for (unsigned i = 0; i < LEGACY_FILES; i++) {
        char name[4];

        snprintf(name, sizeof(name), "%u", i);
        save(dir, "legacy", name, shorter, shorten(files[i].bytes, files[i].len_bytes, shorter));
    }
}
