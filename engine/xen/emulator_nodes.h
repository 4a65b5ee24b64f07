/* SPDX-License-Identifier: MIT */
/*
 * What libxl and a device model (QEMU) tell each other in xenstore, beside the domain's own part.
 * xenstored may hang, so each call has a limit of its own.
 */
#ifndef ENGINE_XEN_EMULATOR_NODES_H
#define ENGINE_XEN_EMULATOR_NODES_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* In the device model's name: libxl, which waits for that, goes on. */
int emulator_say_running(uint32_t domid, struct err *e);

/* Does it keep a map of the guest's memory there (QEMU before 2.10)? The next one reads that when
 * it starts, and maps frames by it. */
int emulator_keeps_physmap(uint32_t domid, bool *keeps, struct err *e);

#endif
