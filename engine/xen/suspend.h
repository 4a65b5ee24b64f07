/* SPDX-License-Identifier: MIT */
/*
 * A guest's suspend by xenstore, without libxl: PV and PVH guests, which always have drivers for
 * it. The tools write "suspend" to control/shutdown; the guest acknowledges by writing "" in a
 * transaction, and then it will suspend, whatever the tools do. So a request that is no longer
 * wanted is taken back in a transaction, too: either it still says "suspend" and will not be heard
 * of again, or it is too late, and who asked has to wait for the guest and resume it.
 *
 * xenstored may hang, and then so does every call here: the supervisor's limits cover the helper;
 * suspend_end() has one of its own.
 */
#ifndef ENGINE_XEN_SUSPEND_H
#define ENGINE_XEN_SUSPEND_H

#include "base/cancel.h"
#include "base/deadline.h"
#include "base/err.h"
#include "engine/xen/xen.h"

#include <stdbool.h>
#include <stdint.h>
#include <xenstore.h>

/* How long a guest that does not say whether it can suspend may take to acknowledge the request. */
#define SUSPEND_UNKNOWN_NS (5 * NS_PER_S)
/* How long a guest that has acknowledged may take. Linux gives up freezing after 20 s. */
#define SUSPEND_ACKNOWLEDGED_NS (60 * NS_PER_S)
/* The longest that suspend_end() lasts. */
#define SUSPEND_END_NS (SUSPEND_ACKNOWLEDGED_NS + 20 * NS_PER_S)

/* What there is to do while the guest suspends: step() is called, first after SUSPEND_QUICK_NS,
 * until the guest is down, again at *next_ns (DEADLINE_NEVER: not any more), and keeps it short. */
#define SUSPEND_QUICK_NS (5 * NS_PER_MS)
struct suspend_work {
    int (*step)(void *arg, int64_t *next_ns, struct err *e);
    void *arg;
};

struct suspend {
    uint32_t domid;
    struct xs_handle *xs; /* NULL: not open */
};

/* Connect to xenstored, and be told of domains that shut down. */
int suspend_open(struct suspend *s, uint32_t domid, struct err *e);
void suspend_close(struct suspend *s);

/* Ask, and wait until the domain is shut down, for whatever reason, or gone. A guest that says that
 * it cannot is not asked; one that does not say has SUSPEND_UNKNOWN_NS to acknowledge it, and if it
 * does not e's code is EOPNOTSUPP. When cancel fires or the deadline passes the request is taken
 * back if that is still possible, and -ECANCELED or -ETIMEDOUT follows at once; *pending if it was
 * not, so that the guest will suspend yet. The same when work (NULL: none) fails. */
int suspend_ask(struct suspend *s, struct xen *x, const struct suspend_work *work,
    const struct cancel *cancel, int64_t deadline_ns, bool *pending, struct err *e);

/* For whoever brings a guest back that was asked to suspend and runs: take the request back, or,
 * if the guest has acknowledged it, wait (at most wait_ns) until it is shut down or gone. 0 also
 * when it was not in time. It makes its own handles. */
int suspend_end(uint32_t domid, int64_t wait_ns, struct err *e);

#endif
