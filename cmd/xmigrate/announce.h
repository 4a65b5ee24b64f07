/* SPDX-License-Identifier: MIT */
/*
 * The network is told that a guest which has arrived is here now (rarp.h): at once, and four times
 * more when it has connected its interfaces, at growing intervals. A process of its own does that,
 * `xmigrate --announce DOMID VIF...`, started by exec so that nothing of a migration lives on in
 * it, and before the pause where that can be; it ends by itself. Only for interfaces on a bridge of
 * this host that the script vif-bridge put there.
 */
#ifndef CMD_XMIGRATE_ANNOUNCE_H
#define CMD_XMIGRATE_ANNOUNCE_H

#include "base/err.h"
#include "base/log.h"
#include "cmd/xmigrate/libxl/config.h"

#include <stdint.h>

enum { ANNOUNCE_ROUNDS = 5, ANNOUNCE_VIF_BYTES = 80 };

/* Start one, which says nothing before announce_now(). *go_fd is -1 when there is nothing to
 * announce; closed without announce_now() it never says anything. */
int announce_prepare(uint32_t domid, const libxl_domain_config *config, int *go_fd, struct err *e);

/* It is not waited for, and go_fd is closed. */
int announce_now(int go_fd, struct err *e);

/* What --announce runs, and begins when a byte comes on standard input; returns the exit code. */
int announce_main(
    const char *domid_text, char *const vifs[], unsigned count, const struct log *log);

/* Pure: an interface as a word, and back; -EINVAL for what makes no sense. */
void announce_vif_text(const struct xl_vif *vif, char text[static ANNOUNCE_VIF_BYTES]);
int announce_vif_parse(const char *text, struct xl_vif *vif);

/* Pure: how long to wait before the round, of which the first two have their own reason to come
 * (0 for these). */
int64_t announce_pause_ns(unsigned round);

#endif
