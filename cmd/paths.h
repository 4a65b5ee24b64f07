/* SPDX-License-Identifier: MIT */
/*
 * Where things are: the run directory (XMIGRATE_RUN_DIR, else /run/xmigrate) and the state
 * directory, which outlives a power loss (XMIGRATE_STATE_DIR, else /var/lib/xmigrate), both ours
 * alone, 0700; and our other program, which lies beside this one.
 */
#ifndef CMD_PATHS_H
#define CMD_PATHS_H

#include "base/err.h"

enum { PATHS_BYTES = 256 };

/* The run directory, made if it is missing. */
int open_run_dir(char path[static PATHS_BYTES], struct err *e);

/* The state directory, made if it is missing. */
int open_state_dir(char path[static PATHS_BYTES], struct err *e);

/* The absolute path of "xmigrate" or "xmigrate-save-helper". */
int find_program(const char *name, char path[static PATHS_BYTES], struct err *e);

#endif
