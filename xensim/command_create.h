/* SPDX-License-Identifier: MIT */
/* Commands that make domains: create, and create-empty for a restore. */
#ifndef XENSIM_COMMAND_CREATE_H
#define XENSIM_COMMAND_CREATE_H

#include "xensim/command_io.h"
#include "xensim/hypervisor/host.h"

int do_create(struct host *h, struct words *w, struct answer *a);

/* A domain for a restore: as libxl makes one, paused, without memory. */
int do_create_empty(struct host *h, struct words *w, struct answer *a);

/* A number of pages a second, or max. */
bool parse_rate(const char *text, int64_t *pages_per_s);

#endif
