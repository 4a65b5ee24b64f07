/* SPDX-License-Identifier: MIT */
/* What --inspect says of a file of a Xen before 4.6. */
#ifndef CMD_XMIGRATE_INSPECT_LEGACY_H
#define CMD_XMIGRATE_INSPECT_LEGACY_H

#include "cmd/xmigrate/image/legacy.h"

#include <jansson.h>

/* Lines below the guest's. */
void inspect_legacy_say(const struct legacy *l);

/* The object, but for damage. config: libxl's JSON, or NULL. */
json_t *inspect_legacy_describe(const char *path, const struct legacy *l, json_t *config);

#endif
