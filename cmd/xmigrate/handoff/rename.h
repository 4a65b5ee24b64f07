/* SPDX-License-Identifier: MIT */
/*
 * The two names that a guest's copies get when it was given away (cmd/handoff/names.h). They decide
 * nothing, so nothing depends on them: failing to set one only logs a warning that says what to do.
 */
#ifndef CMD_XMIGRATE_HANDOFF_RENAME_H
#define CMD_XMIGRATE_HANDOFF_RENAME_H

#include "cmd/xmigrate/libxl/calls.h"

/* Each is for a guest's own name, and does nothing to a domain that is called otherwise than
 * expected (`called`): somebody renamed it on purpose. */

/* The source's copy: NAME to NAME--migratedaway. */
void rename_away(struct xl *xl, uint32_t domid, const char *called, const char *name);

/* The destination's, which runs: NAME--incoming to NAME. */
void rename_own(struct xl *xl, uint32_t domid, const char *called, const char *name);

#endif
