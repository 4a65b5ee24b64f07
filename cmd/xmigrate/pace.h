/* SPDX-License-Identifier: MIT */
/*
 * What the engine is told of its limits while it runs: those that --set has changed, and its share
 * of what this host may send (budget.h). The story's thread's.
 */
#ifndef CMD_XMIGRATE_PACE_H
#define CMD_XMIGRATE_PACE_H

#include "cmd/link.h"
#include "cmd/xmigrate/admin_socket.h"
#include "cmd/xmigrate/budget.h"

struct pace {
    struct link_job *job;       /* has what holds now, for a helper that has not come yet, too */
    struct admin_socket *admin; /* NULL: none */
    struct budget budget;
};

/* Its budget was read. job has the limits of the command line; all stay the caller's. */
int pace_begin(struct pace *p, struct link_job *job, struct admin_socket *admin, struct err *e);

/* --set has said something. link_sock: the helper's; -1: it is not there. */
void pace_tune(struct pace *p, int link_sock);

/* Its share, when that is due. first: the guest is about to be suspended, or is; asked_ns: since
 * when it is asked to, without an answer; 0: it is not. */
void pace_look(struct pace *p, bool first, int64_t asked_ns, int link_sock);

/* An event of the helper's. */
void pace_note(struct pace *p, const json_t *event);

/* Nothing more is sent. */
void pace_end(struct pace *p);

#endif
