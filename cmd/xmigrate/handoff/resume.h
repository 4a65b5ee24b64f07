/* SPDX-License-Identifier: MIT */
/* xmigrate --resume [--force] DOM: a person wants a suspended guest to run again. */
#ifndef CMD_XMIGRATE_HANDOFF_RESUME_H
#define CMD_XMIGRATE_HANDOFF_RESUME_H

#include "base/log.h"

#include <stdbool.h>

/* Returns the exit code. Without force a guest that was given away is refused, with the advice for
 * it. */
int resume_main(const char *dom, bool force, const struct log *log);

#endif
