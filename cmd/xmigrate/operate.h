/* SPDX-License-Identifier: MIT */
/*
 * xmigrate --status, --cancel, --set: asks the migrations under way on this host, each over its
 * socket (admin_socket.h), and the journal about those that nobody is in charge of any more.
 * Changes nothing by itself. They return an exit code.
 */
#ifndef CMD_XMIGRATE_OPERATE_H
#define CMD_XMIGRATE_OPERATE_H

#include "base/log.h"
#include "cmd/xmigrate/ui/options.h"

/* All, or o->domain's. One that is named and that nothing is known of: EXIT_REFUSED. */
int status_main(const struct options *o, const struct log *log);

/* EXIT_DOUBT: too late. */
int cancel_main(const struct options *o, const struct log *log);
int set_main(const struct options *o, const struct log *log);

#endif
