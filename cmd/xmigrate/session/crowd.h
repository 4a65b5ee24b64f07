/* SPDX-License-Identifier: MIT */
/*
 * Who has to go when too many strangers are at the door. Connections that have not proven anything
 * are bounded for each address and in all. Nobody is told to come again: the oldest makes room,
 * because whoever means it is through within a few round trips. With the room full it is the oldest
 * of the address that has most, so that no single host can push others out.
 */
#ifndef CMD_XMIGRATE_SESSION_CROWD_H
#define CMD_XMIGRATE_SESSION_CROWD_H

/* What one party can be expected to have of its own: an IPv4 address, a /64 of IPv6. */
struct crowd_address {
    unsigned char bytes[16];
};

struct crowd_limits {
    unsigned per_address, in_all;
};

/* Whom fd is connected to; zero if that is not known. */
struct crowd_address crowd_address_of(int fd);

/* Which of them, oldest first, makes room for one more from that address; -1: there is room. */
int crowd_victim(const struct crowd_address *of, unsigned count, const struct crowd_address *next,
    const struct crowd_limits *limits);

#endif
