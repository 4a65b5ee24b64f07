/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/throttle.h"

static void tell_cap(const struct throttle *t, unsigned percent)
{
    json_t *body = json_pack("{s:s, s:i}", "event", "cap", "cap_percent", (int)percent);

    event_tell(t->events, body);
}

/* What it was is on disk before it is changed. */
static int remember_cap(const struct throttle *t, struct err *e)
{
    struct journal_record *now = &t->journal->now;
    unsigned percent;
    int rc;

    if (now->cap != JOURNAL_NO_CAP)
        return 0;
    rc = xl_cap(t->xl, now->domid, &percent, e);
    if (rc)
        return rc;
    now->cap = (int)percent;
    rc = journal_save(t->journal, e);
    if (rc)
        now->cap = JOURNAL_NO_CAP;
    return rc;
}

/* A guest that cannot be slowed down is no reason to fail: the scheduler sees it, and goes on as it
 * does with one that does not heed its cap. */
void throttle_lower(const struct throttle *t, unsigned percent)
{
    struct err e = ERR_INIT;

    if (remember_cap(t, &e) || xl_set_cap(t->xl, t->journal->now.domid, percent, &e))
        log_warn(t->log, "the guest is not slowed down: %s", e.text);
    else
        tell_cap(t, percent);
}

void throttle_end(const struct throttle *t)
{
    struct journal_record *now = &t->journal->now;
    struct err e = ERR_INIT;

    if (now->cap == JOURNAL_NO_CAP)
        return;
    if (xl_set_cap(t->xl, now->domid, (unsigned)now->cap, &e)) {
        log_warn(t->log, "%s", e.text);
        return;
    }
    tell_cap(t, (unsigned)now->cap);
    now->cap = JOURNAL_NO_CAP;
}
