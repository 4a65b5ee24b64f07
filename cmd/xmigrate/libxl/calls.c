/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/calls.h"

#include "base/units.h"
#include "cmd/xmigrate/libxl/limited.h"

#include <errno.h>
#include <libxl_utils.h>
#include <libxl_uuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* What Xen and the devices' scripts may need for a large guest. */
#define DESTROY_NS (300 * NS_PER_S)

/* No domain's number. */
#define NO_DOMAIN UINT32_MAX

/* What any of the calls takes and gives. */
struct short_call {
    struct xl_call call;
    uint32_t domid;
    bool unrun;
    char name[XL_NAME_BYTES];
    char to[XL_NAME_BYTES];
    unsigned percent;
    int over_fd; /* -1: nobody is told */
    struct xl_domain domain;
    struct xl_host host;
    struct xl_domain *list; /* the caller's, when the call has come back */
    unsigned count;
};

static int limit(struct xl *xl, struct short_call *c, int64_t deadline_ns, struct err *e)
{
    return xl_call_limited(xl, &c->call, sizeof(*c), deadline_ns, e);
}

static void set_name(char name[static XL_NAME_BYTES], const char *to)
{
    snprintf(name, XL_NAME_BYTES, "%s", to);
}

void xl_uuid_text(const libxl_uuid *uuid, char text[static XL_UUID_TEXT_BYTES])
{
    snprintf(text, XL_UUID_TEXT_BYTES, LIBXL_UUID_FMT, LIBXL_UUID_BYTES((*uuid)));
}

const char *xl_type_name(libxl_domain_type type)
{
    switch (type) {
    case LIBXL_DOMAIN_TYPE_PV:
        return "pv";
    case LIBXL_DOMAIN_TYPE_PVH:
        return "pvh";
    case LIBXL_DOMAIN_TYPE_HVM:
        return "hvm";
    default:
        return "unknown";
    }
}

const char *xl_reason_name(libxl_shutdown_reason reason)
{
    return libxl_shutdown_reason_to_string(reason) ?: "no known reason";
}

/* --- looking --- */

static int query(struct xl *xl, uint32_t domid, struct xl_domain *d, struct err *e)
{
    libxl_dominfo info;

    xl_begin(xl);
    libxl_dominfo_init(&info);

    const int rc = libxl_domain_info(xl->ctx, &info, domid);

    if (rc) {
        libxl_dominfo_dispose(&info);
        if (rc == ERROR_DOMAIN_NOTFOUND)
            return err_set(e, ERR_REFUSED, ESRCH, "there is no domain %u", domid);
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot ask Xen about domain %u", domid);
    }

    char *name = libxl_domid_to_name(xl->ctx, domid);

    *d = (struct xl_domain){
        .domid = domid,
        .type = info.domain_type,
        .cpu_ns = info.cpu_time,
        .paused = info.paused,
        .shut_down = info.shutdown,
        .dying = info.dying,
        .reason = info.shutdown_reason,
        .vcpus = info.vcpu_online,
        .memory_kb = info.current_memkb,
        .max_memory_kb = info.max_memkb,
    };
    snprintf(d->name, sizeof(d->name), "%s", name ? name : "");
    xl_uuid_text(&info.uuid, d->uuid);
    free(name);
    libxl_dominfo_dispose(&info);
    return 0;
}

static int make_query(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct short_call *c = (struct short_call *)call;

    return query(xl, c->domid, &c->domain, e);
}

int xl_look(struct xl *xl, uint32_t domid, struct xl_domain *d, struct err *e)
{
    struct short_call c = {.call = {make_query, "look at a domain"}, .domid = domid};
    const int rc = limit(xl, &c, deadline_in(XL_SHORT_NS), e);

    if (!rc)
        *d = c.domain;
    return rc;
}

int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e)
{
    const int rc = xl_look(xl, domid, d, e);

    if (!rc && strcmp(d->uuid, uuid))
        return err_set(e, ERR_REFUSED, ESRCH, "domain %u is another domain now", domid);
    return rc;
}

static int make_by_name(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct short_call *c = (struct short_call *)call;
    uint32_t domid;

    xl_begin(xl);

    const int rc = libxl_name_to_domid(xl->ctx, c->name, &domid);

    /* libxl answers "invalid" for a name that nobody has, whatever its page says. */
    if (rc == ERROR_INVAL || rc == ERROR_DOMAIN_NOTFOUND)
        return -ESRCH;
    if (rc)
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot look for domain \"%s\"", c->name);
    return query(xl, domid, &c->domain, e);
}

int xl_by_name(struct xl *xl, const char *name, struct xl_domain *d, struct err *e)
{
    struct short_call c = {.call = {make_by_name, "look for a domain"}};

    set_name(c.name, name);

    const int rc = limit(xl, &c, deadline_in(XL_SHORT_NS), e);

    if (!rc)
        *d = c.domain;
    return rc;
}

/* What is left of a domain that was destroyed keeps its UUID until nobody maps its memory. */
static bool is_wanted(const struct short_call *c, const libxl_dominfo *info)
{
    char text[XL_UUID_TEXT_BYTES];

    xl_uuid_text(&info->uuid, text);
    return !strcmp(text, c->name) && info->domid != c->domid && !info->dying &&
           (!c->unrun || (info->paused && !info->shutdown && !info->cpu_time));
}

/* -ESRCH: there is none. */
static int domid_of_uuid(struct xl *xl, const struct short_call *c, uint32_t *domid, struct err *e)
{
    int count = 0, rc = -ESRCH;

    xl_begin(xl);

    libxl_dominfo *const list = libxl_list_domain(xl->ctx, &count);

    if (!list)
        return xl_failed(xl, ERROR_FAIL, ERR_LOCAL, e, "cannot list the domains");
    for (int i = 0; i < count && rc; i++) {
        *domid = list[i].domid;
        rc = is_wanted(c, &list[i]) ? 0 : -ESRCH;
    }
    libxl_dominfo_list_free(list, count);
    return rc;
}

static int make_by_uuid(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct short_call *c = (struct short_call *)call;
    uint32_t domid = 0;
    const int rc = domid_of_uuid(xl, c, &domid, e);

    return rc ? rc : query(xl, domid, &c->domain, e);
}

static int by_uuid(struct xl *xl, const char *uuid, uint32_t but_domid, bool unrun,
    struct xl_domain *d, struct err *e)
{
    struct short_call c = {
        .call = {make_by_uuid, "look for a domain"}, .domid = but_domid, .unrun = unrun};

    set_name(c.name, uuid);

    const int rc = limit(xl, &c, deadline_in(XL_SHORT_NS), e);

    if (!rc)
        *d = c.domain;
    return rc;
}

int xl_by_uuid(struct xl *xl, const char *uuid, struct xl_domain *d, struct err *e)
{
    return by_uuid(xl, uuid, NO_DOMAIN, false, d, e);
}

int xl_twin_of(struct xl *xl, const char *uuid, uint32_t domid, struct xl_domain *d, struct err *e)
{
    return by_uuid(xl, uuid, domid, false, d, e);
}

int xl_unrun_by_uuid(struct xl *xl, const char *uuid, struct xl_domain *d, struct err *e)
{
    return by_uuid(xl, uuid, NO_DOMAIN, true, d, e);
}

static int make_guests(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct short_call *c = (struct short_call *)call;
    int count = 0, rc = 0;

    xl_begin(xl);

    libxl_dominfo *const all = libxl_list_domain(xl->ctx, &count);

    if (!all)
        return xl_failed(xl, ERROR_FAIL, ERR_LOCAL, e, "cannot list the domains");
    c->list = calloc((size_t)count + 1, sizeof(*c->list));
    if (!c->list)
        rc = err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    for (int i = 0; i < count && !rc; i++) {
        struct err gone = ERR_INIT; /* meanwhile */

        if (all[i].domid && !all[i].dying && !query(xl, all[i].domid, &c->list[c->count], &gone))
            c->count++;
    }
    libxl_dominfo_list_free(all, count);
    return rc;
}

int xl_guests(struct xl *xl, struct xl_domain **list, unsigned *count, struct err *e)
{
    struct short_call c = {.call = {make_guests, "list the domains"}};
    const int rc = limit(xl, &c, deadline_in(XL_SHORT_NS), e);

    *list = c.list;
    *count = c.count;
    return rc;
}

int xl_find(struct xl *xl, const char *name_or_domid, struct xl_domain *d, struct err *e)
{
    uint64_t domid;
    int rc = xl_by_name(xl, name_or_domid, d, e);

    if (rc == -ESRCH && !err_is_set(e)) {
        if (!parse_u64(name_or_domid, 0, 0x7fef, &domid))
            return err_set(e, ERR_REFUSED, ESRCH,
                "there is no domain \"%s\" on this host (xl list shows them)", name_or_domid);
        rc = xl_look(xl, (uint32_t)domid, d, e);
    }
    if (!rc && d->domid == 0)
        return err_set(e, ERR_REFUSED, ESRCH, "Domain-0 is this host itself");
    return rc;
}

static int make_host(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct xl_host *h = &((struct short_call *)call)->host;
    libxl_physinfo info;

    xl_begin(xl);
    libxl_physinfo_init(&info);

    const int rc = libxl_get_physinfo(xl->ctx, &info);

    if (rc) {
        libxl_physinfo_dispose(&info);
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot ask Xen about this host");
    }

    const uint64_t free_pages = info.free_pages + info.scrub_pages;

    *h = (struct xl_host){
        .free_kb = free_pages > info.outstanding_pages ? (free_pages - info.outstanding_pages) * 4
                                                       : 0,
        .total_kb = info.total_pages * 4,
        .hvm = info.cap_hvm,
        .pv = info.cap_pv,
        .shadow = info.cap_shadow,
    };
    libxl_physinfo_dispose(&info);

    const libxl_version_info *version = libxl_get_version_info(xl->ctx);

    if (version && version->xen_version_major >= 0 && version->xen_version_minor >= 0)
        h->xen = (struct xl_version){
            (unsigned)version->xen_version_major, (unsigned)version->xen_version_minor};
    return 0;
}

int xl_host(struct xl *xl, struct xl_host *h, struct err *e)
{
    struct short_call c = {.call = {make_host, "describe this host"}};
    const int rc = limit(xl, &c, deadline_in(XL_SHORT_NS), e);

    if (!rc)
        *h = c.host;
    return rc;
}

/* --- changing --- */

static int make_rename(struct xl *xl, struct xl_call *call, struct err *e)
{
    const struct short_call *c = (struct short_call *)call;

    xl_begin(xl);

    const int rc = libxl_domain_rename(xl->ctx, c->domid, c->name, c->to);

    return rc ? xl_failed(
                    xl, rc, ERR_LOCAL, e, "cannot rename domain %u to \"%s\"", c->domid, c->to)
              : 0;
}

int xl_rename(struct xl *xl, uint32_t domid, const char *from, const char *to, int64_t deadline_ns,
    struct err *e)
{
    struct short_call c = {.call = {make_rename, "rename the domain"}, .domid = domid};

    set_name(c.name, from);
    set_name(c.to, to);
    return limit(xl, &c, deadline_ns, e);
}

static int make_unpause(struct xl *xl, struct xl_call *call, struct err *e)
{
    const struct short_call *c = (struct short_call *)call;

    xl_begin(xl);

    const int rc = libxl_domain_unpause(xl->ctx, c->domid, NULL);

    return rc ? xl_failed(xl, rc, ERR_LOCAL, e, "cannot unpause domain %u", c->domid) : 0;
}

int xl_unpause(struct xl *xl, uint32_t domid, int64_t deadline_ns, struct err *e)
{
    struct short_call c = {.call = {make_unpause, "unpause the domain"}, .domid = domid};

    return limit(xl, &c, deadline_ns, e);
}

static int make_destroy(struct xl *xl, struct xl_call *call, struct err *e)
{
    const struct short_call *c = (struct short_call *)call;

    xl_begin(xl);

    const int rc = libxl_domain_destroy(xl->ctx, c->domid, NULL);

    if (c->over_fd >= 0)
        eventfd_write(c->over_fd, 1);
    if (!rc || rc == ERROR_DOMAIN_NOTFOUND)
        return 0;
    return xl_failed(xl, rc, ERR_LOCAL, e, "cannot destroy domain %u", c->domid);
}

int xl_destroy_until(struct xl *xl, uint32_t domid, int64_t deadline_ns, int over_fd, struct err *e)
{
    struct short_call c = {
        .call = {make_destroy, "destroy the domain"}, .domid = domid, .over_fd = over_fd};
    const int rc = xl->ctx || xl->patient ? 0 : xl_open(xl, xl->log, deadline_ns, e);

    if (rc && over_fd >= 0)
        eventfd_write(over_fd, 1);
    if (rc)
        return rc;

    return limit(xl, &c, deadline_ns, e);
}

int xl_destroy(struct xl *xl, uint32_t domid, struct err *e)
{
    return xl_destroy_until(xl, domid, deadline_in(DESTROY_NS), -1, e);
}

/* --- the scheduler --- */

static int make_cap(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct short_call *c = (struct short_call *)call;
    libxl_domain_sched_params p;

    xl_begin(xl);
    libxl_domain_sched_params_init(&p);

    const int rc = libxl_domain_sched_params_get(xl->ctx, c->domid, &p);
    const libxl_scheduler sched = p.sched;
    const int cap = p.cap;

    libxl_domain_sched_params_dispose(&p);
    if (rc)
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot ask how domain %u is scheduled", c->domid);
    if ((sched != LIBXL_SCHEDULER_CREDIT && sched != LIBXL_SCHEDULER_CREDIT2) || cap < 0)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "domain %u is scheduled by \"%s\", which cannot cap its processor time: only credit "
            "and credit2 can",
            c->domid, libxl_scheduler_to_string(sched) ?: "?");
    c->percent = (unsigned)cap;
    return 0;
}

int xl_cap(struct xl *xl, uint32_t domid, unsigned *percent, struct err *e)
{
    struct short_call c = {
        .call = {make_cap, "tell how the domain is scheduled"},
        .domid = domid,
    };
    const int rc = limit(xl, &c, deadline_in(XL_SHORT_NS), e);

    if (!rc)
        *percent = c.percent;
    return rc;
}

static int make_set_cap(struct xl *xl, struct xl_call *call, struct err *e)
{
    const struct short_call *c = (struct short_call *)call;
    libxl_domain_sched_params p;

    xl_begin(xl);
    libxl_domain_sched_params_init(&p); /* everything else: as it is */
    p.cap = (int)c->percent;

    const int rc = libxl_domain_sched_params_set(xl->ctx, c->domid, &p);

    libxl_domain_sched_params_dispose(&p);
    return rc ? xl_failed(xl, rc, ERR_LOCAL, e,
                    "cannot set the cap of domain %u's processor time to %u", c->domid, c->percent)
              : 0;
}

int xl_set_cap(struct xl *xl, uint32_t domid, unsigned percent, struct err *e)
{
    struct short_call c = {
        .call = {make_set_cap, "cap the domain"},
        .domid = domid,
        .percent = percent,
    };

    return limit(xl, &c, deadline_in(XL_SHORT_NS), e);
}
