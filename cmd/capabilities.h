/* SPDX-License-Identifier: MIT */
/* Linux's capabilities, of the calling thread and those that it starts. */
#ifndef CMD_CAPABILITIES_H
#define CMD_CAPABILITIES_H

/* No program that is run from here on can have any. Needs CAP_SETPCAP. -1 with errno. */
int capabilities_forbid(void);

/* None is left, of a process that stays root's. -1 with errno. */
int capabilities_drop(void);

#endif
