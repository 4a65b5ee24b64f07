/* SPDX-License-Identifier: MIT */
/*
 * What a guest would miss at the other host, as far as one look can tell: its disks, its bridges,
 * features of its processor. It is told by --check and --estimate, and refuses no move: a hook may
 * bring a disk along, and a guest may do without a feature.
 */
#ifndef CMD_XMIGRATE_LACKING_H
#define CMD_XMIGRATE_LACKING_H

#include "cmd/xmigrate/session/messages.h"

/* At the destination: a line for each thing that a guest of that configuration, with these features
 * (OFFER's cpu), would miss. */
void lacking_find(const libxl_domain_config *config, const char *cpu, const struct log *log,
    char lacks[static MESSAGE_LACKS_BYTES]);

#endif
