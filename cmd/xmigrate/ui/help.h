/* SPDX-License-Identifier: MIT */
/* What --help prints. The man page says the same at more length; a test compares the options that
 * both name. */
#ifndef CMD_XMIGRATE_UI_HELP_H
#define CMD_XMIGRATE_UI_HELP_H

extern const char help_text[];

#endif
