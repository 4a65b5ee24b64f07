/* SPDX-License-Identifier: MIT */
/*
 * A compact file and its chain (docs/file.md), which the supervisor has opened, and hands over with
 * the job: nothing of them is looked for here. The guest's way out into it, or in from it.
 */
#ifndef CMD_HELPER_FILES_H
#define CMD_HELPER_FILES_H

#include "base/log.h"
#include "cmd/link.h"
#include "transport/compact/chain.h"
#include "engine/in/in.h"
#include "engine/out/out.h"

struct files {
    unsigned count; /* 0: there are none */
    struct {
        int fd;
        char name[LINK_PATH_BYTES];
        struct file_keys keys;
    } file[LINK_MAX_FILES];
    struct compact_chain chain; /* of an in; of an out only for a moment */
};

/* As many as the job says. */
int files_take(struct files *f, int link_sock, const struct link_job *job,
    const struct cancel *cancel, struct err *e);

int files_open_out(struct files *f, const struct link_job *job, const struct cancel *cancel,
    const struct log *log, struct out **out, struct err *e);
int files_open_in(struct files *f, const struct link_job *job, const struct cancel *cancel,
    const struct log *log, struct in **in, struct err *e);

#endif
