/* SPDX-License-Identifier: MIT */
/*
 * What a domain is called while it changes hands: its own name with one of these behind it. For
 * people: who has the guest is decided by UUID and journal, and after GO both are renamed when
 * there is time for it.
 */
#ifndef CMD_HANDOFF_NAMES_H
#define CMD_HANDOFF_NAMES_H

#define HANDOFF_AWAY     "--migratedaway" /* the source's copy, once it runs there or is in doubt */
#define HANDOFF_INCOMING "--incoming"     /* the destination's, until the source has heard of it */

#endif
