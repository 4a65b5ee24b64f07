/* SPDX-License-Identifier: MIT */
/*
 * Starting a host: its options, its run directory, and becoming a daemon. The run directory holds
 * `lock` (held while the host lives, so that a dead one's leftovers are told from a live host),
 * `socket`, `pid`, `log`, and `run`, where programs under `xensim run` keep their state.
 */
#ifndef XENSIM_DAEMON_H
#define XENSIM_DAEMON_H

#include "base/err.h"

/* argv[0] is the host's name. Returns when the host answers (or, in the foreground, has ended). */
int daemon_main(int argc, char **argv, struct err *e);

#endif
