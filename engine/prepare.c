/* SPDX-License-Identifier: MIT */
#include "engine/prepare.h"

#include "base/deadline.h"
#include "engine/out/out.h"
#include "engine/xen/xenstore.h"

#include <errno.h>
#include <string.h>

static int send_ahead(struct preparation *r, struct err *e)
{
    const int rc = r->guest->ops->send_ahead(r->guest, r->xs, r->out, e);

    if (rc != -ENOENT || err_is_set(e))
        return rc;
    r->wanted = false;
    log_debug(r->log,
        "the destination cannot be prepared: xenstore does not say where the rings of "
        "domain %u are",
        r->guest->dom.domid);
    return 0;
}

/* What is listed, and in such a way that a change from here on is heard of. */
static int list_devices(struct preparation *r, struct err *e)
{
    const uint32_t domid = r->guest->dom.domid;
    bool each_watch_begins_with_an_event;
    int rc = devices_watch(r->xs, domid, e);

    if (!rc)
        rc = devices_have_stirred(r->xs, domid, &each_watch_begins_with_an_event, e);
    if (!rc)
        rc = devices_list(r->xs, domid, r->devices, e);
    return rc ? rc : vcpus_list_available(r->xs, domid, r->vcpus, e);
}

int prepare_begin(struct preparation *r, struct err *e)
{
    r->wanted = r->wanted && r->out->ops->prepare;
    r->xs = xenstore_open(e);

    const int rc = r->xs ? list_devices(r, e) : -e->code;

    return rc || !r->wanted ? rc : send_ahead(r, e);
}

int prepare_ask(struct preparation *r, struct err *e)
{
    if (!r->wanted || r->limit_ns)
        return 0;
    r->limit_ns = deadline_in(r->span_ns);
    log_debug(r->log, "the destination is told to build the rest of the domain");
    return r->out->ops->prepare(r->out, e);
}

bool prepare_is_done(const struct preparation *r)
{
    return !r->wanted || r->is_done(r->arg);
}

int prepare_check_time(const struct preparation *r, struct err *e)
{
    if (prepare_is_done(r) || !deadline_passed(r->limit_ns))
        return 0;
    return err_set(e, ERR_PEER, ETIMEDOUT,
        "the destination did not get the domain's devices ready in time, so the guest was not "
        "suspended");
}

static int refuse_change(const struct preparation *r, const char *what, struct err *e)
{
    return err_set(e, ERR_GUEST, ESTALE,
        "domain %u was given %s while it was being moved, which its copy would not have: move it "
        "again",
        r->guest->dom.domid, what);
}

/* What came and went again is no change. */
static int check_devices(const struct preparation *r, struct err *e)
{
    const uint32_t domid = r->guest->dom.domid;
    char devices[DEVICES_TEXT_BYTES], vcpus[VCPUS_TEXT_BYTES];

    if (devices_list(r->xs, domid, devices, e) || vcpus_list_available(r->xs, domid, vcpus, e))
        return -e->code;
    if (strcmp(vcpus, r->vcpus))
        return refuse_change(r, "other vCPUs to use (xl vcpu-set)", e);
    return strcmp(devices, r->devices) ? refuse_change(r, "other devices", e) : 0;
}

int prepare_check_unchanged(const struct preparation *r, struct err *e)
{
    const struct domain *then = &r->guest->dom;
    struct domain now;
    bool stirred;

    if (r->guest->ops->check_ahead(r->guest, e) ||
        domain_read(r->guest->xen, then->domid, &now, e) ||
        devices_have_stirred(r->xs, then->domid, &stirred, e))
        return -e->code;
    if (now.max_pages != then->max_pages)
        return refuse_change(r, "another limit of memory (xl mem-set, xl mem-max)", e);
    if (now.max_vcpu_id != then->max_vcpu_id)
        return refuse_change(r, "another number of vCPUs", e);
    return stirred ? check_devices(r, e) : 0;
}

void prepare_end(struct preparation *r)
{
    xenstore_close(r->xs);
    r->xs = NULL;
}
