/* SPDX-License-Identifier: MIT */
#include "tests/unit/temp_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int temp_dir_make(char path[static TEMP_DIR_BYTES])
{
    strcpy(path, "/tmp/xmigrate-test-XXXXXX");
    return mkdtemp(path) ? 0 : -errno;
}

int temp_dir_remove(const char *path)
{
    char command[TEMP_DIR_BYTES + 16];

    snprintf(command, sizeof(command), "rm -r %s", path);
    return system(command);
}
