/* SPDX-License-Identifier: MIT */
#include "cmd/version.h"

/* Both from the Makefile. */
const char xmigrate_version[] = XMIGRATE_VERSION;
const char xmigrate_xen_version[] = XMIGRATE_XEN_VERSION;
