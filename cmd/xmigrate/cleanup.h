/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --cleanup NAME: destroys what a move has left of a guest, and nothing that could be
 * wanted. NAME--migratedaway goes when the host that it was given to says, or has said, that it was
 * started there, whatever came then; NAME--incoming when it never ran and the journal says that it
 * never will. Everything else is refused, with what to do about it.
 */
#ifndef CMD_XMIGRATE_CLEANUP_H
#define CMD_XMIGRATE_CLEANUP_H

#include "base/log.h"
#include "cmd/xmigrate/ui/options.h"

/* o->domain: the guest's own name (then either copy), or a copy's. Returns the exit code:
 * EXIT_DOUBT when nobody could be asked. */
int cleanup_main(const struct options *o, const struct log *log);

#endif
