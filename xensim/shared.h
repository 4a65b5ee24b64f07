/* SPDX-License-Identifier: MIT */
/* Memory that the daemon shares with a client, which can neither shrink nor grow it. */
#ifndef XENSIM_SHARED_H
#define XENSIM_SHARED_H

#include <stdint.h>

/* Make and map it. Returns its descriptor, for the client and the caller's to close, or -errno. */
int shared_create(const char *name, uint64_t bytes, void **at);

#endif
