/* SPDX-License-Identifier: MIT */
/* What Xen says of a copy of the guest: libxl and xenstored, which may hang, are not asked. */
#ifndef CMD_XMIGRATE_HANDOFF_ASK_XEN_H
#define CMD_XMIGRATE_HANDOFF_ASK_XEN_H

#include "engine/xen/rescue.h"

/* As rescue_query(); uuid is text. */
int ask_xen(const struct log *log, uint32_t domid, const char *uuid, enum rescue_status *status,
    struct err *e);

#endif
