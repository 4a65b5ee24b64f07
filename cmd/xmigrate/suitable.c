/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/suitable.h"

#include "cmd/device_model.h"
#include "cmd/handoff/names.h"
#include "engine/xen/emulator_nodes.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Names travel in JSON, which is UTF-8. */
static bool is_utf8(const char *text)
{
    json_t *o = json_string(text);

    json_decref(o);
    return o;
}

int suitable_file(const char *path, struct err *e)
{
    return is_utf8(path)
               ? 0
               : err_set(e, ERR_REFUSED, EILSEQ, "the file's name is not UTF-8: %s", path);
}

int suitable_state(const struct xl_domain *d, struct err *e)
{
    if (d->dying)
        return err_set(e, ERR_REFUSED, EINVAL, "\"%s\" is being destroyed", d->name);
    if (xl_is_suspended(d))
        return err_set(e, ERR_REFUSED, EINVAL,
            "\"%s\" (domain %u) is suspended: xmigrate --resume %u lets it run again", d->name,
            d->domid, d->domid);
    if (d->shut_down)
        return err_set(e, ERR_REFUSED, EINVAL, "\"%s\" has shut down or crashed", d->name);
    if (d->paused)
        return err_set(e, ERR_REFUSED, EINVAL,
            "\"%s\" is paused and could not answer a suspend request: xl unpause %u first", d->name,
            d->domid);
    if (!d->name[0])
        return err_set(
            e, ERR_REFUSED, EINVAL, "domain %u has no name: xl rename %u NAME", d->domid, d->domid);
    if (strlen(d->name) + strlen(HANDOFF_AWAY) >= XL_NAME_BYTES)
        return err_set(e, ERR_REFUSED, ENAMETOOLONG,
            "the domain's name is too long to be moved: xl rename %u NAME", d->domid);
    if (!is_utf8(d->name))
        return err_set(e, ERR_REFUSED, EILSEQ,
            "the name of domain %u is not UTF-8: xl rename %u NAME", d->domid, d->domid);
    return 0;
}

/* Xen tracks a PV guest's writes only with the help of shadow page tables. */
int suitable_log_dirty(struct xl *xl, const struct xl_domain *d, bool *has, struct err *e)
{
    struct xl_host host;
    int rc;

    *has = true;
    if (d->type != LIBXL_DOMAIN_TYPE_PV)
        return 0;
    rc = xl_host(xl, &host, e);
    *has = !rc && host.shadow;
    return rc;
}

/* libxl could not stop a dead one, and a paused one was left so by a move that failed. */
int suitable_device_model(
    const struct xl_domain *d, char version[static SUITABLE_VERSION_BYTES], struct err *e)
{
    struct device_model m;
    bool paused = false;

    version[0] = '\0';
    if (d->type != LIBXL_DOMAIN_TYPE_HVM)
        return 0;

    int rc = device_model_open(&m, d->domid, e);

    if (!rc)
        rc = device_model_is_paused(&m, &paused, e);
    device_model_close(&m);
    if (rc == -ENOENT)
        err_set(e, ERR_LOCAL, ENOENT, "\"%s\" is an HVM guest and libxl gave it no QMP socket",
            d->name);
    if (rc) {
        e->class = ERR_REFUSED;
        return rc;
    }
    if (paused)
        return err_set(e, ERR_REFUSED, EINVAL,
            "the device model (QEMU) of \"%s\" is paused: xmigrate --resume %u lets it run on",
            d->name, d->domid);
    snprintf(version, SUITABLE_VERSION_BYTES, "%u.%u", m.version.major, m.version.minor);
    return 0;
}

bool suitable_for_early_model(const struct xl_domain *d, const struct log *log, const char **why)
{
    struct err e = ERR_INIT;
    bool keeps = true;

    if (d->type != LIBXL_DOMAIN_TYPE_HVM)
        return true;
    if (emulator_keeps_physmap(d->domid, &keeps, &e)) {
        log_debug(log, "%s", e.text);
        *why = "xenstored does not say what its device model keeps there";
    } else if (keeps) {
        *why = "its device model keeps a map of its memory in xenstore";
    }
    return !keeps;
}

bool suitable_is_older_xen(struct xl_version there, struct xl_version here)
{
    return there.major &&
           (there.major < here.major || (there.major == here.major && there.minor < here.minor));
}
