/* SPDX-License-Identifier: MIT */
/*
 * Whether a toolstack may make dom0 smaller for a guest, as xl decides that: `autoballoon` in
 * xl.conf, and if that does not say, unless dom0_mem= on Xen's command line gives dom0 a size.
 */
#ifndef CMD_XMIGRATE_LIBXL_AUTOBALLOON_H
#define CMD_XMIGRATE_LIBXL_AUTOBALLOON_H

#include <stdbool.h>

/* Pure; xl_conf: the file's text. */
bool autoballoon_is_on(const char *xl_conf, const char *xen_command_line);

#endif
