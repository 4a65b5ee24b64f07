/* SPDX-License-Identifier: MIT */
/* What the users of libxenstore here have in common. xenstored may hang, and then so does each
 * call.
 */
#ifndef ENGINE_XEN_XENSTORE_H
#define ENGINE_XEN_XENSTORE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct xs_handle;

/* NULL, with *e set, if xenstored cannot be reached. */
struct xs_handle *xenstore_open(struct err *e);
void xenstore_close(struct xs_handle *xs); /* NULL is allowed */

/* The names in a directory, in one piece to be freed; none (NULL, 0) if it is not there. */
int xenstore_list(
    struct xs_handle *xs, const char *path, char ***names, unsigned *count, struct err *e);

/* A decimal number below limit; false if there is none. */
bool xenstore_read_number(struct xs_handle *xs, const char *path, uint64_t limit, uint64_t *number);

/* Drops the events that are there: they only said that it is time to look. any: were there some?
 * Or NULL. */
int xenstore_drop_events(struct xs_handle *xs, bool *any, struct err *e);

#endif
