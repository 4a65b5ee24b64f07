/* SPDX-License-Identifier: MIT */
/*
 * The source's rescuer: a process that outlives its supervisor. While it is armed it puts the guest
 * right when the supervisor dies, by xmigrate --recover: so until GO there are always two processes
 * that see to it that the guest runs on. Before GO it is disarmed, and has answered: from then on
 * it resumes nothing by itself. If the supervisor dies all the same, it runs xmigrate --resolve:
 * the journal and the destination decide.
 *
 * Started before there are threads and before libxl is used.
 */
#ifndef CMD_XMIGRATE_HANDOFF_RESCUER_H
#define CMD_XMIGRATE_HANDOFF_RESCUER_H

#include "base/err.h"

#include <sys/types.h>

struct rescuer {
    pid_t pid;
    int sock; /* -1: there is none (any more) */
};

/* config_dir is for --resolve. */
int rescuer_start(struct rescuer *r, const char *config_dir, struct err *e);

/* It has answered that it resumes nothing by itself any more, or is dead. */
int rescuer_disarm(struct rescuer *r, struct err *e);

/* Nothing is left to be rescued. */
void rescuer_end(struct rescuer *r);

#endif
