/* SPDX-License-Identifier: MIT */
/*
 * engine/xen: the only files that call libxenctrl, libxenguest and libxenforeignmemory. What
 * differs between Xen versions lives here and nowhere else (built against the Xen it runs on).
 *
 * struct xen holds one set of handles. A lane has its own: libxencall's buffer cache is shared
 * per handle and the kernel serialises per file. Handles do not survive fork().
 */
#ifndef ENGINE_XEN_XEN_H
#define ENGINE_XEN_XEN_H

#include "base/err.h"
#include "base/log.h"

#include <xenctrl.h>
#include <xenforeignmemory.h>

struct xen {
    xc_interface *xch;
    xenforeignmemory_handle *fmem;
    xentoollog_logger *logger; /* turns libxenctrl's lines into debug lines of log */
};

/* log must outlive the handles. Fails with one line that says what to do (not root, no Xen). */
int xen_open(struct xen *x, const struct log *log, struct err *e);
/* Handles for what libxenguest does without Xen: xch alone. */
int xen_open_none(struct xen *x, const struct log *log, struct err *e);
void xen_close(struct xen *x);

/* The running hypervisor's version: 4 and 17. */
int xen_version_read(struct xen *x, uint32_t *major, uint32_t *minor, struct err *e);

#endif
