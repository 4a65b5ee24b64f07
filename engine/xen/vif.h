/* SPDX-License-Identifier: MIT */
/* A guest's network interfaces, as xenstore knows them. */
#ifndef ENGINE_XEN_VIF_H
#define ENGINE_XEN_VIF_H

#include "base/err.h"

#include <stdint.h>

/* Wait until the guest has connected all of them. -ENOENT without an error when xenstore has none
 * of them; -ETIMEDOUT without one when the guest did not in time. */
int vif_await_connected(
    uint32_t domid, const unsigned *devids, unsigned count, int64_t deadline_ns, struct err *e);

#endif
