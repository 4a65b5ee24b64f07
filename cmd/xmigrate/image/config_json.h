/* SPDX-License-Identifier: MIT */
/* libxl's configuration as JSON, read without libxl. */
#ifndef CMD_XMIGRATE_IMAGE_CONFIG_JSON_H
#define CMD_XMIGRATE_IMAGE_CONFIG_JSON_H

#include <jansson.h>
#include <stdbool.h>

/* What is left out is the default; some of libxl's flags are integers. */
static inline bool config_json_is_true(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_true(v) || (json_is_integer(v) && json_integer_value(v));
}

#endif
