/* SPDX-License-Identifier: MIT */
/*
 * Telling a network where an address is now. A RARP request from that address, which needs no IP
 * address, is broadcast from a bridge: switches beyond learn which way it is. The bridge itself,
 * which learns only from what comes in, is told over netlink.
 */
#ifndef CMD_XMIGRATE_RARP_H
#define CMD_XMIGRATE_RARP_H

#include "base/err.h"

#include <stdint.h>

enum { RARP_MAC_BYTES = 6, RARP_FRAME_BYTES = 60 };

/* Pure: the frame, as long as the shortest one may be. */
void rarp_frame(const uint8_t mac[static RARP_MAC_BYTES], uint8_t frame[static RARP_FRAME_BYTES]);

/* Out of a bridge, to all of its ports. ERR_LOCAL (-ENODEV) when there is none of that name. */
int rarp_send(const char *bridge, const uint8_t mac[static RARP_MAC_BYTES], struct err *e);

/* The bridge whose port that interface is finds mac there, until it learns otherwise. */
int rarp_teach_bridge(const char *port, const uint8_t mac[static RARP_MAC_BYTES], struct err *e);

#endif
