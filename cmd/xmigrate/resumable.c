/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/resumable.h"

#include "cmd/xmigrate/history.h"
#include "engine/probe/find_notes.h"
#include "engine/xen/suspend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct resume_choice choose(
    const struct xl_domain *d, enum resume_as wanted, const struct resumable *r)
{
    if (wanted == RESUME_AS_CHOSEN)
        return resume_choose(d->type == LIBXL_DOMAIN_TYPE_HVM, &r->facts, &r->notes);
    return (struct resume_choice){wanted == RESUME_AS_REVIVE ? RESUME_REVIVE : RESUME_COOPERATIVE,
        true, "--resume-as says so"};
}

/* ---- guests that did not acknowledge ---- */

enum { KIND_BYTES = 24 };
#define UNANSWERED "unanswered"

/* A guest that boots anew has another number. */
static struct history_key key_of(const struct xl_domain *d, char kind[static KIND_BYTES])
{
    snprintf(kind, KIND_BYTES, "domid:%u", d->domid);
    return (struct history_key){d->uuid, kind};
}

void resumable_learn(const struct xl_domain *d, const struct err *why)
{
    struct err ignored = ERR_INIT;
    char kind[KIND_BYTES];
    const struct history_key key = key_of(d, kind);

    if (why->class == ERR_GUEST && why->code == EOPNOTSUPP)
        history_record(UNANSWERED, &key, SUSPEND_UNKNOWN_NS, &ignored);
}

static int check_answered(
    const struct xl_domain *d, const struct resumable *r, bool again, struct err *e)
{
    struct likely ignored;
    char kind[KIND_BYTES];
    const struct history_key key = key_of(d, kind);

    if (r->facts.ability != SUSPEND_UNKNOWN || !r->facts.has_drivers || again ||
        history_look_up(UNANSWERED, &key, &ignored) != HISTORY_BOTH)
        return 0;
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "\"%s\" did not acknowledge an earlier request to suspend, and its kernel still does not "
        "say that it can (control/feature-suspend is empty); with --suspend-timeout it is asked "
        "again",
        d->name);
}

/* ---- */

int resumable_find(const struct xl_domain *d, const char *kernel, const struct options *o,
    const struct log *log, const struct cancel *cancel, struct resumable *r, struct err *e)
{
    const struct find_notes_params p = {d->domid, kernel, log, cancel};
    const bool hvm = d->type == LIBXL_DOMAIN_TYPE_HVM;
    const int rc = suspend_facts_read(d->domid, hvm, &r->facts, e);

    if (rc)
        return rc;
    if (r->facts.ability == SUSPEND_CANNOT && r->facts.has_drivers)
        return suspend_ability_refuse(d->domid, e);
    if (check_answered(d, r, o->ask_again, e))
        return -e->code;
    if (!hvm || r->facts.has_drivers)
        find_notes(&p, &r->notes);
    r->choice = choose(d, o->resume_as, r);
    return 0;
}

int resumable_check_cancel(const struct xl_domain *d, const struct resumable *r, struct err *e)
{
    if (r->choice.way != RESUME_REVIVE)
        return 0;
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "\"%s\" could not run on here if its move failed once it is suspended: %s (%s %s); "
        "--checkpoint and --save can go on from their file; --resume-as cooperative moves it all "
        "the same",
        d->name, r->choice.why, r->notes.os, r->notes.version);
}

void resumable_fill_job(const struct resumable *r, struct link_job *job)
{
    const struct kernel_notes *n = &r->notes;

    if (n->origin == NOTES_NONE)
        return;
    kernel_notes_encode(n, job->notes);
    memcpy(job->notes + KERNEL_NOTES_HEAD_BYTES, n->bytes, n->len_bytes);
    job->notes_bytes = (unsigned)(KERNEL_NOTES_HEAD_BYTES + n->len_bytes);
}
