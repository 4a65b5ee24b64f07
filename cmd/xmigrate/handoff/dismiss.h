/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --dismiss: a person says that the source of an arrival has nothing left that it would
 * have to ask about (it was reinstalled, say), so what is remembered for it can go. Only of
 * arrivals that are settled; what is open is for --recover and --resolve.
 */
#ifndef CMD_XMIGRATE_HANDOFF_DISMISS_H
#define CMD_XMIGRATE_HANDOFF_DISMISS_H

#include "base/log.h"

/* dom: a name or a UUID. Returns an exit code. */
int dismiss_main(const char *dom, const struct log *log);

#endif
