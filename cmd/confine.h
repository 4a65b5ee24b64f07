/* SPDX-License-Identifier: MIT */
/*
 * What a process keeps that reads what strangers send: the descriptors that it has, and nothing
 * else. It runs as a user of its own, in an empty root directory, without capabilities, can get no
 * new ones, and may only make the system calls of a short list; any other one ends it.
 *
 * With a sanitizer, which makes system calls of its own, there is no such list.
 */
#ifndef CMD_CONFINE_H
#define CMD_CONFINE_H

#include "base/err.h"
#include "cmd/paths.h"

#include <stdbool.h>
#include <sys/types.h>

#define CONFINE_USER "_xmigrate"

struct confinement {
    bool on; /* false: --as-root */
    uid_t uid;
    gid_t gid;
    char root[PATHS_BYTES + 8]; /* an empty directory */
};

/* As root, once: who the processes will be, and where. ERR_REFUSED: there is no such user. */
int confine_prepare(struct confinement *c, struct err *e);

/* This process, from here on; before it has threads. No way back. */
int confine_self(const struct confinement *c, struct err *e);

#endif
