/* SPDX-License-Identifier: MIT */
/*
 * The source's rescuer: a process that outlives its supervisor. While it is armed it puts the guest
 * right when the supervisor dies, by xmigrate --recover: until GO there are always two processes
 * that make sure that the guest runs on. Before GO it is disarmed and has confirmed that: from then
 * on it resumes nothing by itself. If the supervisor dies all the same, it runs xmigrate --resolve:
 * the journal and the destination decide.
 *
 * Started before there are threads and before libxl is used.
 */
#ifndef CMD_XMIGRATE_HANDOFF_RESCUER_H
#define CMD_XMIGRATE_HANDOFF_RESCUER_H

#include "base/err.h"
#include "cmd/bystander.h"

/* config_dir is for --resolve. */
int rescuer_start(struct bystander *r, const char *config_dir, struct err *e);

/* On return it has confirmed that it will resume nothing by itself, or is dead. */
int rescuer_disarm(struct bystander *r, struct err *e);

/* Nothing is left to rescue. */
void rescuer_end(struct bystander *r);

#endif
