/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a pause that no round can measure are expected to take, from what earlier
 * migrations took (history.h), and what is assumed before there were any. Three are remembered:
 *
 * - suspend, sending: a guest, from the request until it stands still; by guest, type and vCPUs.
 *
 * - finish, receiving: a domain, from the last byte until it runs, without the wait for GO; by the
 *   host that it came from and its kinds of devices. ACCEPT tells the source.
 *
 * - start, sending: all from the last byte until STARTED came, without the network's round trips;
 *   by the host that it went to and its kinds of devices. Where there is one, it is better than
 *   what ACCEPT says, because it includes this host's part of the hand-off.
 */
#ifndef CMD_XMIGRATE_EXPECT_H
#define CMD_XMIGRATE_EXPECT_H

#include "cmd/xmigrate/libxl/config.h"
#include "sched/decide.h"

/* Who is asked about; all of it as long as the caller. */
struct expect_guest {
    const char *uuid;
    const char *type; /* as OFFER has it */
    unsigned vcpus;
    const struct xl_devices *devices;
    bool early; /* all but memory, vCPUs and a device model's state is there before */
    const char *peer; /* the other host's fingerprint; "" if it is not known */
};

/* Pure: before anything was seen, of the suspend, and of all from the last byte on. */
void expect_first(const struct expect_guest *g, struct likely *suspend, struct likely *after);

/* At the destination, for ACCEPT. */
struct likely expect_finish(const struct expect_guest *g);
int expect_learn_finish(const struct expect_guest *g, int64_t took_ns, struct err *e);

/* At the source. finish: ACCEPT's; round_trip_ns: of the way there. */
struct decide_costs expect_pause(
    const struct expect_guest *g, const struct likely *finish, int64_t round_trip_ns);
/* after_ns: from the last byte until STARTED; costs: what had been expected. */
int expect_learn_pause(const struct expect_guest *g, const struct decide_costs *costs,
    int64_t suspend_ns, int64_t after_ns, struct err *e);

#endif
