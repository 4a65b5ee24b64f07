/* SPDX-License-Identifier: MIT */
/*
 * What the engine gives up when its connections are made and the files it needs are open: all
 * capabilities, the way to new privileges, the file system but for Xen's devices, xenstored's
 * socket and that of the guest's own device model, and all system calls but those of a list. It
 * stays user 0, whom those files belong to.
 *
 * That does not make it harmless: whoever holds privcmd is as good as root, because no filter sees
 * into hypercalls. But the way from its memory to this host's files and processes is longer.
 */
#ifndef CMD_HELPER_PRIVILEGES_H
#define CMD_HELPER_PRIVILEGES_H

#include "base/log.h"

#include <stdint.h>

/* Before there are threads; no way back. What cannot be given up on this host (in a container, say)
 * is kept, and a warning says so: the guest's move matters more. */
void privileges_drop(uint32_t domid, const struct log *log);

#endif
