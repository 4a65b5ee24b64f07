/* SPDX-License-Identifier: MIT */
/*
 * Asking the migrations under way on this host, each over its admin socket (admin_socket.h). A
 * socket whose process was killed is removed.
 */
#ifndef CMD_XMIGRATE_ADMIN_CLIENT_H
#define CMD_XMIGRATE_ADMIN_CLIENT_H

#include "base/log.h"
#include "cmd/paths.h"
#include "cmd/xmigrate/admin_words.h"

#include <limits.h>

enum { ADMIN_MAX_MIGRATIONS = 256, ADMIN_PATH_BYTES = PATHS_BYTES + NAME_MAX + 2 };

/* The answer, for the caller to drop. NULL and no error: there is no such migration any more. */
json_t *admin_ask(const char *path, const struct admin_request *r, struct err *e);

/* Every socket here. visit's first result but 0 ends it. */
int admin_for_each(
    int (*visit)(void *arg, const char *path, struct err *e), void *arg, struct err *e);

/* Migrations as they are now. */
struct admin_list {
    struct admin_status *of; /* room for ADMIN_MAX_MIGRATIONS; malloc'ed */
    unsigned count;
};

int admin_list_init(struct admin_list *list, struct err *e);
void admin_list_free(struct admin_list *list);

/* All that are here; admin_list_free() in any case. */
int admin_collect(struct admin_list *list, const struct log *log, struct err *e);

#endif
