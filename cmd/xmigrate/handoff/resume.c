/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/resume.h"

#include "base/deadline.h"
#include "cmd/exit_codes.h"
#include "cmd/handoff/advice.h"
#include "cmd/handoff/journal.h"
#include "cmd/handoff/machine.h"
#include "cmd/handoff/names.h"
#include "cmd/device_model.h"
#include "cmd/lock.h"
#include "cmd/xmigrate/handoff/filed.h"
#include "cmd/xmigrate/handoff/bring_back.h"
#include "cmd/xmigrate/libxl/calls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The guest's own name: what it was called before it was given away. */
static void own_name(const struct xl_domain *d, char name[static XL_NAME_BYTES])
{
    const size_t len = strlen(d->name), tail = strlen(HANDOFF_AWAY);

    snprintf(name, XL_NAME_BYTES, "%s", d->name);
    if (len > tail && !strcmp(name + len - tail, HANDOFF_AWAY))
        name[len - tail] = '\0';
}

static bool has_paused_device_model(uint32_t domid)
{
    struct device_model m;
    struct err none = ERR_INIT;
    bool paused = false;

    if (!device_model_open(&m, domid, &none))
        device_model_is_paused(&m, &paused, &none);
    device_model_close(&m);
    return paused;
}

static int check_resumable(const struct xl_domain *d, struct err *e)
{
    if (!d->shut_down && has_paused_device_model(d->domid))
        return 0;
    if (!d->shut_down)
        return err_set(e, ERR_REFUSED, EALREADY,
            "\"%s\" (domain %u) %s: there is nothing to resume", d->name, d->domid,
            d->paused ? "is paused (xl unpause starts it)" : "runs");
    if (!xl_is_suspended(d))
        return err_set(e, ERR_REFUSED, EINVAL,
            "\"%s\" (domain %u) has shut down (%s) and was not suspended: it cannot be resumed",
            d->name, d->domid, xl_reason_name(d->reason));
    return 0;
}

/* The guest may have moved within this host, or have come back; and what came of it has its UUID,
 * whatever it is called. Two of it must not run, whatever a person says. */
static int check_alone(struct xl *xl, const struct xl_domain *d, struct err *e)
{
    struct err why = ERR_INIT;
    struct xl_domain other;
    const int rc = xl_twin_of(xl, d->uuid, d->domid, &other, &why);

    if (rc)
        return rc == -ESRCH ? 0 : err_take(e, &why);
    if (!other.shut_down && !other.paused)
        return err_set(e, ERR_REFUSED, EEXIST,
            "\"%s\" is the same guest as domain %u (\"%s\"), which runs here, and must not run "
            "twice. This copy is the old one: xl destroy %u",
            d->name, other.domid, other.name, d->domid);
    return err_set(e, ERR_REFUSED, EEXIST,
        "\"%s\" is the same guest as domain %u (\"%s\"), which is here too, and must not run "
        "twice: xmigrate --recover settles which of them goes",
        d->name, other.domid, other.name);
}

/* Its own name, which it gets back. */
static int check_name_free(
    struct xl *xl, const struct xl_domain *d, const char *name, struct err *e)
{
    struct err why = ERR_INIT;
    struct xl_domain other;
    const int rc = strcmp(name, d->name) ? xl_by_name(xl, name, &other, &why) : -ESRCH;

    if (rc)
        return rc == -ESRCH ? 0 : err_take(e, &why);
    return err_set(e, ERR_REFUSED, EEXIST,
        "\"%s\" is domain %u here now, another guest: rename that before this one is resumed", name,
        other.domid);
}

struct resumption {
    struct xl *xl;
    const struct log *log;
    struct xl_domain domain;
    char name[XL_NAME_BYTES]; /* its own */
    struct journal journal;   /* lock_fd -1: there is no record of it */
};

static int resume_guest(void *arg, struct err *e)
{
    struct resumption *r = arg;
    struct journal_record left = {.logging = true, .cap = JOURNAL_NO_CAP, .domid = r->domain.domid};
    struct domain_lock lock;
    enum brought_back found;
    int rc;

    snprintf(left.uuid, sizeof(left.uuid), "%s", r->domain.uuid);
    snprintf(left.name, sizeof(left.name), "%s", r->name);
    rc = domain_lock_take(&lock, left.domid, e);
    if (rc)
        return rc;
    rc = bring_back_guest(r->xl, &left, &lock, &found, e);
    if (brought_back_runs(found) && bring_back_name(r->xl, &left, e))
        rc = -e->code;
    if (!rc && (found == BACK_RESUMED || found == BACK_CONTINUED))
        log_info(r->log, "\"%s\" (domain %u) runs again", left.name, left.domid);
    domain_lock_release(&lock);
    return rc;
}

static int take_back(void *arg, struct err *e)
{
    struct resumption *r = arg;
    struct err none = ERR_INIT;

    (void)e;
    if (r->journal.lock_fd < 0)
        return 0;
    r->journal.now.state = HANDOFF_LIVE;
    if (journal_save(&r->journal, &none))
        log_warn(r->log, "%s", none.text);
    return 0;
}

/* A person has decided: what was in doubt about this guest no longer is. */
static int forget_resumed(void *arg, struct err *e)
{
    struct resumption *r = arg;
    struct err none = ERR_INIT;

    (void)e;
    if (r->journal.lock_fd < 0)
        return 0;
    if (bring_back_cap(r->xl, &r->journal.now, &none))
        log_error(r->log, "%s", none.text);
    filed_drop(&r->journal.now);
    journal_remove(&r->journal);
    return 0;
}

static int refuse(void *arg, struct err *e)
{
    struct resumption *r = arg;
    char text[ADVICE_BYTES];

    if (r->journal.lock_fd < 0)
        return err_set(e, ERR_REFUSED, ENOENT,
            "nothing here says why \"%s\" (domain %u) is suspended: it may have been given to "
            "another host, and run there. Only if it never did: xmigrate --resume --force %u",
            r->domain.name, r->domain.domid, r->domain.domid);
    handoff_advice(&r->journal.now, r->domain.domid, text);
    return err_set(e, ERR_REFUSED, EBUSY, "%s", text);
}

/* A guest that was given away may have lost its record, and its name proves nothing. */
static int read_record(struct resumption *r, struct err *e)
{
    struct journal_record *now = &r->journal.now;
    const int rc = journal_open(&r->journal, HANDOFF_SOURCE, r->domain.uuid, e);

    if (!rc || rc != -ENOENT)
        return rc;
    *now = (struct journal_record){.cap = JOURNAL_NO_CAP, .peer = "another host"};
    now->state = r->domain.shut_down ? HANDOFF_GIVEN : HANDOFF_LIVE;
    snprintf(now->name, sizeof(now->name), "%s", r->name);
    return 0;
}

static int resume_domain(struct resumption *r, const char *dom, bool force, struct err *e)
{
    static handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_TAKE_BACK)] = take_back,
        [HANDOFF_INDEX(HANDOFF_RESUME)] = resume_guest,
        [HANDOFF_INDEX(HANDOFF_FORGET)] = forget_resumed,
        [HANDOFF_INDEX(HANDOFF_ADVISE)] = refuse,
    };
    int rc = xl_find(r->xl, dom, &r->domain, e);

    if (rc)
        return rc;
    own_name(&r->domain, r->name);
    rc = check_resumable(&r->domain, e);
    if (!rc)
        rc = check_alone(r->xl, &r->domain, e);
    if (!rc)
        rc = check_name_free(r->xl, &r->domain, r->name, e);
    if (!rc)
        rc = read_record(r, e);
    if (!rc)
        rc = handoff_carry_out(handoff_next(HANDOFF_SOURCE, r->journal.now.state,
                                   force ? HANDOFF_RESUME_FORCED : HANDOFF_RESUME_ASKED),
            doers, r, e);
    journal_keep(&r->journal);
    return rc;
}

int resume_main(const char *dom, bool force, const struct log *log)
{
    struct err e = ERR_INIT;
    struct xl xl;
    struct resumption r = {.xl = &xl, .log = log, .journal = {.lock_fd = -1}};
    int rc = xl_prepare_process(&e);

    if (!rc)
        rc = xl_open(&xl, log, deadline_in(XL_SHORT_NS), &e);
    if (!rc) {
        rc = resume_domain(&r, dom, force, &e);
        xl_close(&xl);
    }
    if (!rc)
        return EXIT_DONE;
    log_error(log, "%s", e.text);
    return e.class == ERR_REFUSED ? EXIT_REFUSED : EXIT_FAILED;
}
