/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/cleanup.h"

#include "base/deadline.h"
#include "cmd/exit_codes.h"
#include "cmd/handoff/journal.h"
#include "cmd/handoff/names.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/resolve.h"
#include "engine/xen/rescue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct cleanup {
    const struct options *o;
    const struct log *log;
    struct xl xl;
    unsigned found;
    int code;
};

static void raise_exit(struct cleanup *c, int code)
{
    if (code > c->code)
        c->code = code;
}

/* What the record says, for as long as nobody is in charge of it. -ENOENT without an error: there
 * is none. */
static int read_record(
    enum handoff_role role, const char *uuid, struct journal_record *s, struct err *e)
{
    struct journal j;
    const int rc = journal_open(&j, role, uuid, e);

    if (!rc) {
        *s = j.now;
        journal_keep(&j);
    }
    return rc;
}

/* --- NAME--migratedaway --- */

static int check_away(
    const struct xl_domain *d, int rc, const struct journal_record *s, struct err *e)
{
    if (rc == -ENOENT && !err_is_set(e))
        return err_set(e, ERR_REFUSED, ENOENT,
            "\"%s\" (domain %u): no record of this host says which host it was given to, so none "
            "can be asked whether it runs there: if it does, xl destroy %u here is safe",
            d->name, d->domid, d->domid);
    if (rc)
        return rc;
    if (!xl_is_suspended(d))
        return err_set(e, ERR_REFUSED, EBUSY,
            "\"%s\" (domain %u) is not suspended: it is no copy that a move has left", d->name,
            d->domid);
    if (s->domid != d->domid || (s->state != HANDOFF_GIVEN && s->state != HANDOFF_MOVED))
        return err_set(e, ERR_REFUSED, EBUSY,
            "\"%s\" (domain %u) was not given away: xmigrate --recover looks after it", d->name,
            d->domid);
    return 0;
}

/* Resolving destroys it then, asks again, and has the other host forget. */
static void clean_away(struct cleanup *c, const struct xl_domain *d)
{
    struct journal_record s = {.domid = JOURNAL_NO_DOMID};
    struct err e = ERR_INIT;
    char number[12];
    int rc = read_record(HANDOFF_SOURCE, d->uuid, &s, &e);

    if (check_away(d, rc, &s, &e)) {
        log_error(c->log, "%s", e.text);
        raise_exit(c, EXIT_REFUSED);
        return;
    }
    if (s.state == HANDOFF_GIVEN && !resolve_has_started(c->o, &s, c->log)) {
        log_error(c->log,
            "\"%s\" (domain %u) stays: %s has not said that it was started there. xmigrate "
            "--resolve %u settles what becomes of it",
            d->name, d->domid, s.peer, d->domid);
        raise_exit(c, EXIT_DOUBT);
        return;
    }
    snprintf(number, sizeof(number), "%u", d->domid);
    raise_exit(c, resolve_one(c->o, number, c->log));
}

/* --- NAME--incoming --- */

static int check_incoming(
    const struct xl_domain *d, int rc, const struct journal_record *s, struct err *e)
{
    if (rc == -ENOENT && !err_is_set(e))
        return err_set(e, ERR_REFUSED, ENOENT,
            "\"%s\" (domain %u): no record of this host says what came of it: if the guest runs on "
            "another host, xl destroy %u here is safe",
            d->name, d->domid, d->domid);
    if (rc)
        return rc;
    if (!d->paused || d->cpu_ns)
        return err_set(e, ERR_REFUSED, EBUSY,
            "\"%s\" (domain %u) has run: it is not what a failed move has left", d->name, d->domid);
    if (s->state != HANDOFF_GONE)
        return err_set(e, ERR_REFUSED, EBUSY,
            "\"%s\" (domain %u) may still start (it is \"%s\" on record): xmigrate --recover here, "
            "or xmigrate --resolve at %s, settles that first",
            d->name, d->domid, handoff_state_name(s->state), s->peer);
    return 0;
}

/* That it has not run is not enough: somebody could start it meanwhile. */
static int hold(const struct cleanup *c, const struct xl_domain *d, struct err *e)
{
    bool has_run = false;
    struct xen x;
    int rc = xen_open(&x, c->log, e);

    if (rc)
        return rc;
    rc = rescue_hold(&x, d->domid, &has_run, e);
    xen_close(&x);
    if (!rc && has_run)
        rc = err_set(e, ERR_REFUSED, EBUSY, "\"%s\" (domain %u) has just been started, and stays",
            d->name, d->domid);
    return rc;
}

static void clean_incoming(struct cleanup *c, const struct xl_domain *d)
{
    struct journal_record s = {.domid = JOURNAL_NO_DOMID};
    struct err e = ERR_INIT;
    int rc = read_record(HANDOFF_DESTINATION, d->uuid, &s, &e);

    rc = check_incoming(d, rc, &s, &e);
    if (!rc)
        rc = hold(c, d, &e);
    if (!rc)
        rc = xl_destroy(&c->xl, d->domid, &e);
    if (rc) {
        log_error(c->log, "%s", e.text);
        raise_exit(c, EXIT_REFUSED);
        return;
    }
    log_info(c->log, "\"%s\" (domain %u), which never ran, is destroyed", d->name, d->domid);
}

/* --- either --- */

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t len = strlen(name), tail = strlen(suffix);

    return len > tail && !strcmp(name + len - tail, suffix);
}

static int clean(struct cleanup *c, const char *suffix,
    void (*clean_one)(struct cleanup *c, const struct xl_domain *d), struct err *e)
{
    const char *domain = c->o->domain;
    char name[XL_NAME_BYTES];
    struct xl_domain d;
    int rc;

    if (snprintf(name, sizeof(name), "%s%s", domain, has_suffix(domain, suffix) ? "" : suffix) >=
        (int)sizeof(name))
        return 0; /* no domain is called that */
    rc = xl_by_name(&c->xl, name, &d, e);
    if (rc)
        return err_is_set(e) ? rc : 0;
    c->found++;
    clean_one(c, &d);
    return 0;
}

static int refuse_nothing(const char *domain, struct err *e)
{
    if (has_suffix(domain, HANDOFF_AWAY) || has_suffix(domain, HANDOFF_INCOMING))
        return err_set(
            e, ERR_REFUSED, ESRCH, "there is no \"%s\" here: nothing is left of a move", domain);
    return err_set(e, ERR_REFUSED, ESRCH,
        "there is no \"%s" HANDOFF_AWAY "\" here and no \"%s" HANDOFF_INCOMING
        "\": nothing is left of a move",
        domain, domain);
}

int cleanup_main(const struct options *o, const struct log *log)
{
    struct cleanup c = {.o = o, .log = log, .code = EXIT_DONE};
    struct err e = ERR_INIT;
    int rc = xl_prepare_process(&e);

    if (!rc)
        rc = xl_open(&c.xl, log, deadline_in(XL_SHORT_NS), &e);
    if (!rc)
        rc = clean(&c, HANDOFF_AWAY, clean_away, &e);
    if (!rc)
        rc = clean(&c, HANDOFF_INCOMING, clean_incoming, &e);
    if (!rc && !c.found)
        rc = refuse_nothing(o->domain, &e);
    if (c.xl.ctx)
        xl_close(&c.xl);
    if (!rc)
        return c.code;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}
