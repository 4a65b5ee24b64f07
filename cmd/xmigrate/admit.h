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
    struct xl_version xen;     /* this host's */
};

/* ERR_REFUSED says why not, ERR_PEER that the offer makes no sense. a->config is initialised by the
 * caller. Memory is for newcomer.h; one that is only measured is told here if there is too little.
 * early: as this host was started.
 */
int admit_offer(struct xl *xl, const struct policy *policy, const struct message_offer *offer,
    enum early_disks early, struct admission *a, struct err *e);

/* Whether its names are (still) free here. If its number is not, it gets another. */
int admit_identity(
    struct xl *xl, const struct message_offer *offer, struct admission *a, struct err *e);

#endif
