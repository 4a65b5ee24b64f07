/* SPDX-License-Identifier: MIT */
/*
 * What an HVM guest needs of its destination beside Xen: libxl finds out in the pause, when it
 * starts the device model (QEMU), that it is not there or cannot read the state. So it is asked
 * before anything is copied.
 */
#ifndef CMD_XMIGRATE_EMULATOR_H
#define CMD_XMIGRATE_EMULATOR_H

#include "base/err.h"
#include "cmd/device_model.h"
#include "cmd/xmigrate/libxl/config.h"

/* libxl does not tell where it has its QEMU; this names it, or else it is looked for. */
#define EMULATOR_ENV "XMIGRATE_DEVICE_MODEL"

/* Is there one, not older than the source's, and are the files there that libxl hands to it? Other
 * guests than HVM need none. */
int emulator_check(
    const libxl_domain_config *config, struct device_model_version source, struct err *e);

/* "QEMU emulator version 7.2.22 (Debian ...)". */
bool emulator_read_version(const char *said, struct device_model_version *version);

#endif
