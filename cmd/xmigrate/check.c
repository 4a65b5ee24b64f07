/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/check.h"

#include "base/units.h"
#include "cmd/exit_codes.h"
#include "cmd/handoff/journal.h"
#include "cmd/lock.h"
#include "cmd/xmigrate/libxl/config.h"
#include "cmd/xmigrate/negotiate.h"
#include "cmd/xmigrate/suitable.h"
#include "cmd/xmigrate/ui/view.h"
#include "engine/probe/look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FINDINGS = 16 + MESSAGE_MAX_LACKS };

/* How long a large guest's memory is looked at. */
#define LOOK_NS (5 * NS_PER_S)

struct finding {
    const char *what;
    bool in_the_way;
    char text[ERR_TEXT_BYTES];
};

struct check {
    const struct options *o;
    struct log log;
    struct view view;
    struct xl xl;
    struct xl_domain domain;
    libxl_domain_config config;
    struct resumable resumable;
    struct finding findings[MAX_FINDINGS];
    unsigned count;
};

/* ---- what is found ---- */

static void find(struct check *c, const char *what, bool in_the_way, const char *text)
{
    struct finding *f = &c->findings[c->count];

    if (c->count == MAX_FINDINGS)
        return;
    c->count++;
    f->what = what;
    f->in_the_way = in_the_way;
    snprintf(f->text, sizeof(f->text), "%s", text);
}

static void find_out(
    struct check *c, const char *what, int rc, const struct err *e, const char *good)
{
    find(c, what, rc != 0, rc ? e->text : good);
}

static void look_at_state(struct check *c)
{
    struct err e = ERR_INIT;
    const int rc = suitable_state(&c->domain, &e);

    find_out(c, "state", rc, &e, "it runs");
}

static void look_at_devices(struct check *c)
{
    struct err e = ERR_INIT;
    const int rc = xl_config_check_movable(&c->config, &e);

    find_out(c, "devices", rc, &e, "none keeps it here");
}

static void look_at_resume(struct check *c)
{
    const struct resumable *r = &c->resumable;
    const struct kernel_notes *n = &r->notes;
    const bool revived = r->choice.way == RESUME_REVIVE;
    char text[ERR_TEXT_BYTES];

    if (n->origin == NOTES_NONE)
        find(c, "kernel", false, "no notes of it were found, neither its file nor in memory");
    else {
        snprintf(text, sizeof(text), "%s %s, by its notes (%s)", n->os, n->version,
            n->origin == NOTES_FILE ? "from its file" : "found in memory");
        find(c, "kernel", false, text);
    }
    snprintf(text, sizeof(text),
        revived ? "only as a new domain, from its file: %s; --checkpoint does that, --live and "
                  "--offline are refused without --resume-as cooperative"
                : "cooperatively, as the same domain: %s",
        r->choice.why);
    find(c, "resume", revived, text);
}

static void look_at_suspend(struct check *c)
{
    struct err e = ERR_INIT;
    const int rc = resumable_find(
        &c->domain, c->config.b_info.kernel, c->o, &c->log, NULL, &c->resumable, &e);
    const struct suspend_facts *f = &c->resumable.facts;

    find_out(c, "suspend", rc, &e,
        !f->has_drivers ? "it has no PV drivers: Xen stops it"
        : f->ability == SUSPEND_CAN
            ? "its kernel says that it can"
            : "its kernel does not say that it can: asked, it has 5 s to answer");
    if (!rc)
        look_at_resume(c);
}

static void look_at_log(struct check *c)
{
    struct err e = ERR_INIT;
    bool has;
    const int rc = suitable_log_dirty(&c->xl, &c->domain, &has, &e);

    if (!rc && !has)
        find(c, "tracking", true,
            "this Xen has no shadow paging, so a PV guest's writes cannot be tracked: --offline "
            "moves it and --save saves it, suspended first, and --checkpoint copies it to memory "
            "while it stands still; --live is refused");
    else
        find_out(c, "tracking", rc, &e, "its writes can be tracked: --live, --checkpoint");
}

static void look_at_memory(struct check *c)
{
    const struct pte_marks *marks = &c->resumable.notes.marks;
    struct err e = ERR_INIT;
    char text[ERR_TEXT_BYTES];
    struct look l;
    const int rc = look_at_guest(c->domain.domid, marks, LOOK_NS, &c->log, &l, &e);

    if (c->domain.type != LIBXL_DOMAIN_TYPE_PV) {
        find_out(c, "memory", rc, &e, "it can be read, and names no frames of the host's");
        return;
    }
    if (!rc && l.stuck_pages)
        page_fault_explain(&l.fault, c->domain.domid, &e);
    snprintf(text, sizeof(text), "its p2m is a %s; %s", l.p2m_layout ?: "?",
        l.all ? "it maps no frames of others"
              : "it maps no frames of others, as far as there was time to look");
    find_out(c, "memory", rc || l.stuck_pages, &e, text);
}

static void look_at_device_model(struct check *c)
{
    char version[SUITABLE_VERSION_BYTES], text[64];
    struct err e = ERR_INIT;
    int rc;

    if (c->domain.type != LIBXL_DOMAIN_TYPE_HVM)
        return;
    rc = suitable_device_model(&c->domain, version, &e);
    snprintf(text, sizeof(text), "QEMU %s lives and runs", version);
    find_out(c, "device model", rc, &e, text);
}

static void look_at_disks(struct check *c)
{
    char text[ERR_TEXT_BYTES];
    unsigned writable = 0;

    for (int i = 0; i < c->config.num_disks; i++)
        writable += c->config.disks[i].readwrite && !c->config.disks[i].is_cdrom;
    if (!writable)
        return;
    snprintf(text, sizeof(text),
        "writable: %u; the other host of a move must reach them under the same names, and a "
        "checkpoint needs --while-suspended to copy them",
        writable);
    find(c, "disks", false, text);
}

/* Somebody works on it, or left something. */
static void look_at_hold(struct check *c)
{
    struct err e = ERR_INIT;
    struct domain_lock lock;
    int rc = domain_lock_take(&lock, c->domain.domid, &e);

    if (!rc)
        domain_lock_release(&lock);
    if (!rc && journal_exists(HANDOFF_SOURCE, c->domain.uuid))
        rc = err_set(&e, ERR_REFUSED, EBUSY,
            "an earlier move or save of it is on record: xmigrate --recover settles it");
    find_out(c, "hold", rc, &e, "nobody else moves or saves it");
}

static void look_at_clock(struct check *c)
{
    const bool native = c->config.b_info.tsc_mode == LIBXL_TSC_MODE_NATIVE;

    find(c, "clock", false,
        native ? "tsc_mode is native: its TSC jumps, and changes its speed where the other host's "
                 "differs"
               : "its TSC goes on as it was; its wall clock is Xen's, so hosts should keep time "
                 "(NTP)");
}

/* Lines, which are used up. */
static void find_lacks(struct check *c, char *lacks)
{
    char *rest;

    for (char *line = strtok_r(lacks, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        find(c, "other host", true, line);
}

/* As a move would ask, but nothing comes of it. */
static void look_at_host(struct check *c)
{
    struct options o = *c->o;
    struct negotiation a = {.options = &o, .log = c->log, .lock = {.fd = -1}};
    struct err e = ERR_INIT, done = ERR_INIT;
    char text[ERR_TEXT_BYTES], pause[UNITS_TEXT_BYTES];
    int rc;

    o.mode = MODE_ESTIMATE; /* the offer then says that the guest does not come */
    rc = negotiate_begin(&a, &e);
    if (!rc)
        rc = negotiate_ask(&a, &e);
    snprintf(text, sizeof(text),
        "%s takes it; expected pause, excluding the last pages: %s (TCP retransmits across it)",
        a.where,
        format_duration(
            a.costs.suspend_ns + a.costs.state_ns + a.costs.receiver_ns + a.costs.network_ns,
            pause));
    find_out(c, "other host", rc, &e, text);
    if (!rc)
        find_lacks(c, a.accept.lacks);
    err_set(&done, ERR_CANCELLED, ECANCELED, "it was only to be checked");
    negotiate_end(&a, &done);
    negotiate_release(&a);
}

static int look_at_all(struct check *c, struct err *e)
{
    int rc = xl_prepare_process(e);

    if (!rc)
        rc = xl_open(&c->xl, &c->log, deadline_in(XL_SHORT_NS), e);
    if (!rc)
        rc = xl_find(&c->xl, c->o->domain, &c->domain, e);
    if (!rc)
        rc = xl_config_retrieve(&c->xl, c->domain.domid, &c->config, e);
    if (rc)
        return rc;
    c->domain.type = c->config.c_info.type;
    look_at_state(c);
    look_at_devices(c);
    look_at_suspend(c);
    look_at_log(c);
    look_at_memory(c);
    look_at_device_model(c);
    look_at_disks(c);
    look_at_hold(c);
    look_at_clock(c);
    if (c->o->address.host[0])
        look_at_host(c);
    return 0;
}

/* ---- telling ---- */

static unsigned in_the_way(const struct check *c)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->count; i++)
        count += c->findings[i].in_the_way;
    return count;
}

static void tell_json(const struct check *c)
{
    const struct xl_domain *d = &c->domain;
    json_t *findings = json_array();

    for (unsigned i = 0; i < c->count; i++)
        json_array_append_new(
            findings, json_pack("{s:s, s:b, s:s}", "what", c->findings[i].what, "in_the_way",
                          c->findings[i].in_the_way, "text", c->findings[i].text));

    json_t *o = json_pack("{s:s, s:i, s:s, s:s, s:i, s:o}", "domain", d->name, "domid",
        (int)d->domid, "uuid", d->uuid, "type", xl_type_name(d->type), "in_the_way",
        (int)in_the_way(c), "findings", findings);

    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static void tell(const struct check *c)
{
    const struct xl_domain *d = &c->domain;

    printf("%s (domain %u, %s, vCPUs: %u, %llu MiB)\n", d->name, d->domid, xl_type_name(d->type),
        d->vcpus, (unsigned long long)d->memory_kb / 1024);
    for (unsigned i = 0; i < c->count; i++)
        printf("  %-13s %s %s\n", c->findings[i].what, c->findings[i].in_the_way ? "NO" : "ok",
            c->findings[i].text);
    printf("in the way: %u\n", in_the_way(c));
}

int check_main(const struct options *o)
{
    struct check c = {.o = o};
    struct err e = ERR_INIT;
    int rc;

    view_init(&c.view, o->log_level == LOG_ERROR);
    c.log = (struct log){o->log_level, view_log, &c.view};
    xl_config_init(&c.config);
    rc = look_at_all(&c, &e);
    if (rc)
        log_error(&c.log, "%s", e.text);
    else if (o->json)
        tell_json(&c);
    else
        tell(&c);
    fflush(stdout);
    xl_config_dispose(&c.config);
    if (c.xl.ctx)
        xl_close(&c.xl);
    view_destroy(&c.view);
    return rc || in_the_way(&c) ? EXIT_REFUSED : EXIT_DONE;
}
