/* SPDX-License-Identifier: MIT */
/* Files that killed processes left in the run and state directories, and that mean nothing. */
#ifndef CMD_XMIGRATE_HANDOFF_SWEEP_H
#define CMD_XMIGRATE_HANDOFF_SWEEP_H

#include <stdbool.h>

/* Is that the number of a process that is no more? */
bool sweep_is_of_dead(const char *number);

void sweep_dead(void);

#endif
