/* SPDX-License-Identifier: MIT */
/* Whom a configuration is of, as libxl's JSON has it. "" if it does not say; as long as config. */
#ifndef CMD_XMIGRATE_IMAGE_CONFIG_GUEST_H
#define CMD_XMIGRATE_IMAGE_CONFIG_GUEST_H

#include <jansson.h>

static inline const char *config_guest_text(const json_t *config, const char *key)
{
    return json_string_value(json_object_get(json_object_get(config, "c_info"), key)) ?: "";
}

static inline const char *config_guest_name(const json_t *config)
{
    return config_guest_text(config, "name");
}

static inline const char *config_guest_uuid(const json_t *config)
{
    return config_guest_text(config, "uuid");
}

#endif
