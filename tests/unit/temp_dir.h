/* SPDX-License-Identifier: MIT */
/* A directory of a test's own. */
#ifndef TESTS_UNIT_TEMP_DIR_H
#define TESTS_UNIT_TEMP_DIR_H

enum { TEMP_DIR_BYTES = 64 };

/* path is where it is. 0 or -errno. */
int temp_dir_make(char path[static TEMP_DIR_BYTES]);

/* With all that is in it. Not 0: it, or something in it, is still there. */
int temp_dir_remove(const char *path);

#endif
