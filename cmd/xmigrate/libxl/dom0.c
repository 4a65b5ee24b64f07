/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/dom0.h"

#include "cmd/xmigrate/libxl/autoballoon.h"
#include "cmd/xmigrate/libxl/limited.h"

#include <stdio.h>
#include <stdlib.h>

#define XL_CONF "/etc/xen/xl.conf"

enum { MOST_CONF_BYTES = 1 << 16 };

static bool read_choice(struct xl *xl)
{
    const libxl_version_info *info = libxl_get_version_info(xl->ctx);
    char *text = calloc(1, MOST_CONF_BYTES);
    FILE *f = text ? fopen(XL_CONF, "re") : NULL;
    bool may;

    if (f) {
        if (!fread(text, 1, MOST_CONF_BYTES - 1, f))
            text[0] = '\0';
        fclose(f);
    }
    may = autoballoon_is_on(text ?: "", info && info->commandline ? info->commandline : "");
    free(text);
    return may;
}

struct dom0_call {
    struct xl_call call;
    struct dom0 dom0;
};

static int make_read(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct dom0 *d = &((struct dom0_call *)call)->dom0;
    libxl_dominfo info;
    int rc;

    xl_begin(xl);
    libxl_dominfo_init(&info);
    rc = libxl_domain_info(xl->ctx, &info, 0);
    if (!rc)
        rc = libxl_get_memory_target(xl->ctx, 0, &d->target_kb);
    d->current_kb = info.current_memkb;
    libxl_dominfo_dispose(&info);
    if (rc)
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot ask how much memory dom0 has");
    d->may_balloon = read_choice(xl);
    return 0;
}

int dom0_read(struct xl *xl, struct dom0 *d, struct err *e)
{
    struct dom0_call c = {.call = {make_read, "ask how much memory dom0 has"}};
    const int rc = xl_call_limited(xl, &c.call, sizeof(c), deadline_in(XL_SHORT_NS), e);

    if (!rc)
        *d = c.dom0;
    return rc;
}

static int make_set(struct xl *xl, struct xl_call *call, struct err *e)
{
    const struct dom0 *d = &((struct dom0_call *)call)->dom0;
    int rc;

    xl_begin(xl);
    rc = libxl_set_memory_target(xl->ctx, 0, (int64_t)d->target_kb, 0, 0);
    return rc ? xl_failed(xl, rc, ERR_LOCAL, e, "cannot set how much memory dom0 is to have") : 0;
}

int dom0_set(struct xl *xl, uint64_t target_kb, struct err *e)
{
    struct dom0_call c = {
        .call = {make_set, "set how much memory dom0 is to have"}, .dom0.target_kb = target_kb};

    return xl_call_limited(xl, &c.call, sizeof(c), deadline_in(XL_SHORT_NS), e);
}
