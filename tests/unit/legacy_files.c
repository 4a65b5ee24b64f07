/* SPDX-License-Identifier: MIT */
#include "tests/unit/legacy_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int take_file(const char *path, struct legacy_file *file)
{
    FILE *f = fopen(path, "rb");

    if (!f)
        return -1;
    file->len_bytes = fread(file->bytes, 1, LEGACY_FILE_BYTES, f);
    fclose(f);
    return unlink(path);
}

int legacy_files_make(const char *options, struct legacy_file files[static LEGACY_FILES])
{
    char dir[] = "/tmp/legacy-XXXXXX", text[256];

    if (!mkdtemp(dir))
        return -1;
    snprintf(text, sizeof(text), "python3 tests/e2e/legacy_file.py seeds %s %s", dir, options);
    if (system(text))
        return -1;
    for (unsigned i = 0; i < LEGACY_FILES; i++) {
        snprintf(text, sizeof(text), "%s/%u", dir, i);
        if (take_file(text, &files[i]))
            return -1;
    }
    return rmdir(dir);
}
