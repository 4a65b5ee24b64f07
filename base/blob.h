/* SPDX-License-Identifier: MIT */
/*
 * A piece of state, kept for later as it came: a record's body, or what the hypervisor says of a
 * vCPU. Empty (no data) until something is kept; owned by whoever holds the struct.
 */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include "base/err.h"

#include <stddef.h>

struct blob {
    void *data; /* malloc()ed; NULL: nothing */
    size_t len_bytes;
};

/* Replace what is kept by a copy; after a failure it is unchanged. */
int blob_keep(struct blob *b, const void *body, size_t len_bytes, struct err *e);

/* Empty again. */
void blob_free(struct blob *b);

#endif
