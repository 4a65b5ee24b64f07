/* SPDX-License-Identifier: MIT */
/*
 * Devices as libxl attaches them: disks, then vifs, those of a kind at the same time. What is
 * attached the daemon knows (xensim/device.h); that takes as long, and goes as wrong, as
 * XENSIM_DEVICES says, in the environment of the program that calls libxl, with commas between:
 *
 *   time=TIME      for each kind of device (none)
 *   fail=NAME      the hotplug script of that device fails: xvda, vif0; dm: the device model does
 *                  not start
 *   hang=NAME      it does not end; libxl gives it 40 s
 *   missing=NAME   the disk cannot be opened
 *   quota=NAME     xenstore has no room for that device's entries
 */
#ifndef XENSIM_PRELOAD_XL_DEVICE_H
#define XENSIM_PRELOAD_XL_DEVICE_H

#include "xensim/preload/xl_context.h"

/* All that the configuration names. 0 or ERROR_*; what was attached until then stays so, for the
 * end of the domain. */
int xl_devices_attach(
    struct xl *xl, uint32_t domid, const libxl_domain_config *config, const struct cancel *cancel);

/* Does the device model start? If not, libxl says so. */
bool xl_device_model_starts(struct xl *xl);

/* What `xensim create` attached, into the configuration of a guest that libxl did not make. */
int xl_devices_describe(struct xl *xl, uint32_t domid, libxl_domain_config *config);

#endif
