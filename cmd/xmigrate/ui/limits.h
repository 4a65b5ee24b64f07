/* SPDX-License-Identifier: MIT */
/* Limits of a move that contradict each other. */
#ifndef CMD_XMIGRATE_UI_LIMITS_H
#define CMD_XMIGRATE_UI_LIMITS_H

#include "base/err.h"
#include "sched/decide.h"

/* ERR_USAGE for limits that no migration could keep. */
int limits_check(const struct decide_limits *l, struct err *e);

#endif
