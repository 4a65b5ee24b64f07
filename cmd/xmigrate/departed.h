/* SPDX-License-Identifier: MIT */
/*
 * Guests that have gone from here to other hosts since this one was started, so that a move that
 * is asked for again is no failure: a cluster's agent may have been killed before it heard.
 */
#ifndef CMD_XMIGRATE_DEPARTED_H
#define CMD_XMIGRATE_DEPARTED_H

#include "base/err.h"

#include <stdbool.h>

enum { DEPARTED_TIME_BYTES = 32, DEPARTED_UUID_BYTES = 37, DEPARTED_MOST = 200 };

/* It runs on that host, as the command line calls it. */
int departed_note(const char *name, const char *uuid, const char *host, struct err *e);
/* It runs here (again). */
int departed_forget(const char *uuid, struct err *e);

struct departed {
    char uuid[DEPARTED_UUID_BYTES];
    char when[DEPARTED_TIME_BYTES]; /* UTC */
};

/* Has one of that name or UUID gone to that host, and not to another one since? */
bool departed_find(const char *dom, const char *host, struct departed *d);

#endif
