/* SPDX-License-Identifier: MIT */
/* Commands that wait for a domain, at most until the client hangs up sock. */
#ifndef XENSIM_COMMAND_WAIT_H
#define XENSIM_COMMAND_WAIT_H

#include "xensim/command_io.h"
#include "xensim/hypervisor/host.h"

/* Ask a domain to suspend and wait until it has. */
int do_suspend(struct host *h, int sock, struct words *w, struct answer *a);

/* Wait until a domain is shut down or gone. */
int do_await(struct host *h, int sock, struct words *w, struct answer *a);

/* For xenstore's @releaseDomain (preload/xs.c): say how often something about domains has changed,
 * once that is not LAST. */
int do_changes(struct host *h, int sock, struct words *w, struct answer *a);

#endif
