/* SPDX-License-Identifier: MIT */
/*
 * Signals to a cancel object. They are caught and not blocked: a blocked signal would be
 * inherited by everything that libxl starts (device models, scripts), a handler is not.
 *
 * A process has one set of signal handlers, so this is the one place with process-wide state: the
 * object to fire. It must live until the process ends or signals_reset().
 */
#ifndef CMD_SIGNALS_H
#define CMD_SIGNALS_H

#include "base/cancel.h"

/* SIGTERM, SIGINT and SIGHUP fire it; NULL: they do nothing. */
int signals_fire(struct cancel *cancel, struct err *e);
/* From now on SIGHUP adds to this eventfd instead. */
int signals_reload(int event_fd, struct err *e);

/* After a fork: the default actions again, and SIGCHLD too. */
void signals_reset(void);

#endif
