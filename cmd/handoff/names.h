/* SPDX-License-Identifier: MIT */
/*
 * What a domain is called while it changes hands: its own name with one of these behind it. The
 * tail tells the two copies apart when a guest moves within one host.
 */
#ifndef CMD_HANDOFF_NAMES_H
#define CMD_HANDOFF_NAMES_H

#define HANDOFF_AWAY     "--migratedaway" /* the source's copy, from just before GO on */
#define HANDOFF_INCOMING "--incoming"     /* the destination's, until GO */

#endif
