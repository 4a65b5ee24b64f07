/* SPDX-License-Identifier: MIT */
/* What --help and --version print. The man page says the same at more length; a test compares the
 * options that both name. */
#ifndef CMD_XMIGRATE_UI_HELP_H
#define CMD_XMIGRATE_UI_HELP_H

#define XMIGRATE_VERSION "0.1.0"

extern const char help_text[];

#endif
