/* SPDX-License-Identifier: MIT */
/*
 * A move that is asked for again, by somebody who did not hear that it was done: is the domain,
 * which is not here, the one that went to that host (departed.h)?
 */
#ifndef CMD_XMIGRATE_GONE_H
#define CMD_XMIGRATE_GONE_H

#include "base/err.h"
#include "base/log.h"
#include "cmd/xmigrate/ui/options.h"

#include <stdbool.h>

/* True: it went there, and nothing says that it is there no more: there is nothing to do, which is
 * logged. If it is not there any more, that becomes *why. */
bool gone_before(const struct options *o, const struct log *log, struct err *why);

#endif
