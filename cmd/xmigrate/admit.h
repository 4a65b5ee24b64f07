/* SPDX-License-Identifier: MIT */
/*
 * Whether this host takes a guest that is offered to it: the offer against its configuration, this
 * host's policy, libxl, Xen and the names in use here. Nothing is changed.
 */
#ifndef CMD_XMIGRATE_ADMIT_H
#define CMD_XMIGRATE_ADMIT_H

#include "cmd/handoff/names.h"
#include "cmd/xmigrate/libxl/config.h"
#include "cmd/xmigrate/session/messages.h"
#include "cmd/xmigrate/session/policy.h"

/* What was found out, for the build. */
struct admission {
    libxl_domain_config config; /* of a domain named `name`; xl_config_dispose() */
    char name[XL_NAME_BYTES + sizeof(HANDOFF_INCOMING)];
    bool early;                /* libxl may build it while the guest still runs there */
    struct xl_devices devices; /* that are left for the pause */
};

/* ERR_REFUSED says why not, ERR_PEER that the offer makes no sense. a->config is initialised by the
 * caller. */
int admit_offer(struct xl *xl, const struct policy *policy, const struct message_offer *offer,
    struct admission *a, struct err *e);

#endif
