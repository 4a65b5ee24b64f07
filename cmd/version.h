/* SPDX-License-Identifier: MIT */
/* What this is: the release and the commit that was built, or what a package calls itself. */
#ifndef CMD_VERSION_H
#define CMD_VERSION_H

/* "0.1.0+gab12cd3", ".dirty" behind it if files differed from that commit. */
extern const char xmigrate_version[];

/* Of the libraries that it was built against, "4.17.0". Xen's own release is asked of Xen. */
extern const char xmigrate_xen_version[];

#endif
