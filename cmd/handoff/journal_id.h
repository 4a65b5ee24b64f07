/* SPDX-License-Identifier: MIT */
/*
 * What tells journals apart: the id of this one, a file in the state directory, and the boot in
 * which a record was written. Their errors name the file.
 */
#ifndef CMD_HANDOFF_JOURNAL_ID_H
#define CMD_HANDOFF_JOURNAL_ID_H

#include "base/err.h"
#include "cmd/handoff/record.h"
#include "cmd/paths.h"

enum { JOURNAL_PATH_BYTES = PATHS_BYTES + 64 };

/* This host's boot id, and the journal's own, made when there is none. */
int journal_boot(char boot[static JOURNAL_BOOT_BYTES], struct err *e);
int journal_id(char id[static JOURNAL_ID_BYTES], struct err *e);

/* Was it written in this boot of the host? True also if that cannot be told. */
bool journal_is_of_this_boot(const struct journal_record *s);

/* Make durable that the file at path has its name. */
int journal_sync_dir(const char *path, struct err *e);

#endif
