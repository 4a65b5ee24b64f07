/* SPDX-License-Identifier: MIT */
/*
 * The source's rescuer: a process that outlives its supervisor. While it is armed it puts the guest
 * right when the supervisor dies, by xmigrate --recover: until GO there are always two processes
 * that make sure that the guest runs on. When everything is sent it is told to stand down, and
 * before GO it has confirmed that. If the supervisor dies all the same, it runs xmigrate --resolve:
 * the journal decides, as for --recover, and where that says "given" the destination.
 *
 * Started before there are threads and before libxl is used.
 */
#ifndef CMD_XMIGRATE_HANDOFF_RESCUER_H
#define CMD_XMIGRATE_HANDOFF_RESCUER_H

#include "base/err.h"
#include "cmd/bystander.h"

/* config_dir is for --resolve. */
int rescuer_start(struct bystander *r, const char *config_dir, struct err *e);

/* Told ahead, it answers while there is time. Once. */
void rescuer_begin_disarm(struct bystander *r);

/* On return it has confirmed that it has stood down, or is dead. After rescuer_begin_disarm(). */
int rescuer_disarm(struct bystander *r, struct err *e);

/* Nothing is left to rescue. */
void rescuer_end(struct bystander *r);

#endif
