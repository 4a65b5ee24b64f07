/* SPDX-License-Identifier: MIT */
/*
 * An offered configuration against this host's policy. The configuration is what libxl made of the
 * peer's, as its JSON again, so that both see the same. A table lists the fields that may come and
 * on what terms; a field that is not in it, of whatever libxl, may only say nothing: zero, false,
 * empty.
 *
 * Pure but for policy_check_disk(), which looks at the disk itself.
 */
#ifndef CMD_XMIGRATE_SESSION_POLICY_CHECK_H
#define CMD_XMIGRATE_SESSION_POLICY_CHECK_H

#include "cmd/xmigrate/session/policy.h"

/* ERR_REFUSED names the first field that may not come, and the line that would let it in. name is
 * what people know the guest by. */
int policy_check(const struct policy *p, const char *config_json, const char *name, struct err *e);

/* A disk is a file or a block device, and not one that this host has mounted or otherwise holds.
 * What is not there is left to libxl to complain about. */
int policy_check_disk(const struct policy *p, const char *path, const char *name, struct err *e);

#endif
