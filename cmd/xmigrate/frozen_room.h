/* SPDX-License-Identifier: MIT */
/*
 * Whether this host has memory for a copy of a guest's pages, which is made while the guest stands
 * still and kept until it is written. It is compressed, but how much that saves is not known.
 */
#ifndef CMD_XMIGRATE_FROZEN_ROOM_H
#define CMD_XMIGRATE_FROZEN_ROOM_H

#include "base/err.h"

#include <stdint.h>

/* What this system could give to a process without swapping (MemAvailable). */
int frozen_room_read(uint64_t *available_bytes, struct err *e);

/* ERR_REFUSED, with both numbers, if it is too little. */
int frozen_room_check(
    const char *name, uint64_t guest_bytes, uint64_t available_bytes, struct err *e);

#endif
