/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/hook.h"

#include "cmd/xmigrate/image/config_json.h"
#include "cmd/xmigrate/program.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* "VDEV=TARGET", a line each, after "NAME="; malloc'ed. */
static char *disks_variable(const char *name, const json_t *config, bool writable_only)
{
    const json_t *disks = json_object_get(config, "disks");
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    fprintf(f, "%s=", name);
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);

        if (!writable_only || config_json_is_true(disk, "readwrite"))
            fprintf(f, "%s=%s\n", json_string_value(json_object_get(disk, "vdev")) ?: "?",
                json_string_value(json_object_get(disk, "pdev_path")) ?: "");
    }
    return fclose(f) ? NULL : text;
}

enum { OWN_VARIABLES = 6 };

static int fill_own(const struct hook *h, char *own[static OWN_VARIABLES])
{
    json_t *config = json_loads(h->config, 0, NULL);
    bool good = asprintf(&own[0], "XMIGRATE_DOMAIN=%s", h->domain) > 0;

    good = asprintf(&own[1], "XMIGRATE_DOMID=%u", h->domid) > 0 && good;
    good = asprintf(&own[2], "XMIGRATE_UUID=%s", h->uuid) > 0 && good;
    good = asprintf(&own[3], "XMIGRATE_FILE=%s", h->file) > 0 && good;
    own[4] = disks_variable("XMIGRATE_DISKS", config, false);
    own[5] = disks_variable("XMIGRATE_WRITABLE_DISKS", config, true);
    json_decref(config);
    return good && own[4] && own[5] ? 0 : -ENOMEM;
}

int hook_run(const struct hook *h, const struct cancel *cancel, struct err *e)
{
    char *own[OWN_VARIABLES] = {NULL};
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)h->command, NULL};
    const struct program p = {
        .what = "--while-suspended",
        .path = "/bin/sh",
        .argv = argv,
        .own = own,
        .own_count = OWN_VARIABLES,
        .limit_ns = h->limit_ns,
        .limit_name = "--hook-timeout",
    };
    int rc = fill_own(h, own);

    rc = rc ? err_sys(e, ERR_LOCAL, -rc, "cannot run what --while-suspended says")
            : program_run(&p, cancel, e);
    for (int i = 0; i < OWN_VARIABLES; i++)
        free(own[i]);
    return rc;
}
