/* SPDX-License-Identifier: MIT */
/*
 * Saving, restoring and moving domains of xensim with a save helper, without libxl: what
 * `xensim save`, `restore` and `migrate` do. Meant for the stock helper; any helper that speaks
 * libxl's protocol will do. FILE holds the plain libxc stream, FILE.xensim what libxl would have
 * kept beside it.
 */
#ifndef XENSIM_TRANSFER_H
#define XENSIM_TRANSFER_H

#include "base/err.h"

#include <limits.h>
#include <stdbool.h>

struct transfer_options {
    bool live, debug, paused, verbose;
    bool time;             /* migrate: say how long pages took, too */
    const char *helper;    /* NULL: $LIBXL_SAVE_HELPER or the stock one */
    const char *helper_to; /* migrate: the receiving side's; NULL: the same */
    const char *name;      /* of the restored domain; NULL: as it was */
    char library[PATH_MAX + 16];
};

/* The saved domain is destroyed on success, resumed on failure. */
int transfer_save(const char *host, const char *domain, const char *file,
    const struct transfer_options *o, struct err *e);
int transfer_restore(
    const char *host, const char *file, const struct transfer_options *o, struct err *e);
int transfer_migrate(const char *host, const char *domain, const char *to_host,
    const struct transfer_options *o, struct err *e);

#endif
