#include "cmd/xmigrate/handoff/recover.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/lock.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "engine/xen/rescue.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A helper whose supervisor was killed cleans up itself; it is given this long. */
#define HELPER_LIMIT_NS (15 * NS_PER_S)

#define MIGRATEDAWAY "--migratedaway"
#define INCOMING     "--incoming"

static int log_dirty_off(const struct log *log, uint32_t domid, struct err *e)
{
    struct xen x;
    int rc = xen_open(&x, log, e);

    if (!rc) {
        rc = rescue_log_dirty_off(&x, domid, e);
        xen_close(&x);
    }
    return rc;
}

static int put_cap_back(struct xl *xl, const struct state *left, struct err *e)
{
    return left->cap == STATE_NO_CAP ? 0 : xl_set_cap(xl, left->domid, (unsigned)left->cap, e);
}

int recover_guest(struct xl *xl, const struct state *left, enum recover_found *found, struct err *e)
{
    const uint32_t domid = left->domid;
    struct err gone = ERR_INIT;
    struct xl_domain d;
    int rc = xl_look_at(xl, domid, left->uuid, &d, &gone);

    *found = RECOVER_GONE;
    if (rc)
        return rc == -ESRCH ? 0 : err_take(e, &gone);
    *found = RECOVER_RUNNING;
    rc = left->logging ? log_dirty_off(xl->log, domid, e) : 0;

    /* A guest that stands still is helped even if something before went wrong. */
    int step = put_cap_back(xl, left, e);

    if (!rc)
        rc = step;
    step = strcmp(d.name, left->name)
               ? xl_rename(xl, domid, d.name, left->name, deadline_in(XL_SHORT_NS), e)
               : 0;
    if (!rc)
        rc = step;
    if (!xl_is_suspended(&d))
        return rc;
    step = xl_resume(xl, domid, e);
    if (step)
        return step;
    *found = RECOVER_RESUMED;
    step = monitor_start(domid, left->uuid, e);
    return rc ? rc : step;
}

/* --- xmigrate --recover --- */

struct recovery {
    struct xl xl;
    const struct log *log;
    int exit_code;
};

static void raise_exit(struct recovery *r, int code)
{
    if (code > r->exit_code)
        r->exit_code = code;
}

/* The helper's lock, once it has finished its own cleanup. */
static int wait_for_lock(struct domain_lock *lock, uint32_t domid, struct err *e)
{
    const int64_t deadline_ns = deadline_in(HELPER_LIMIT_NS);

    for (;;) {
        struct err busy = ERR_INIT;
        const int rc = domain_lock_take(lock, domid, &busy);

        if (rc != -EBUSY || deadline_passed(deadline_ns))
            return rc ? err_take(e, &busy) : 0;
        sleep_until_ns(deadline_in(100 * NS_PER_MS));
    }
}

static int recover_live(struct recovery *r, const struct state *s, struct err *e)
{
    struct domain_lock lock;
    enum recover_found found;
    int rc = wait_for_lock(&lock, s->domid, e);

    if (rc)
        return rc;
    rc = recover_guest(&r->xl, s, &found, e);
    /* Resumed by its helper, which starts no monitor. */
    if (!rc && found == RECOVER_RUNNING && s->suspending)
        rc = monitor_start(s->domid, s->uuid, e);
    domain_lock_release(&lock);
    if (rc)
        return rc;
    if (found == RECOVER_GONE)
        log_info(r->log, "\"%s\" (domain %u) is gone; nothing to do", s->name, s->domid);
    else if (found == RECOVER_RESUMED)
        log_info(r->log,
            "\"%s\" (domain %u) was left suspended on its way to %s: it is resumed here", s->name,
            s->domid, s->peer);
    else
        log_info(r->log, "\"%s\" (domain %u) stays here%s", s->name, s->domid,
            !s->logging              ? ""
            : s->cap == STATE_NO_CAP ? ", its log-dirty mode is off"
                                     : ", its log-dirty mode is off and its cap as it was");
    return 0;
}

/* What libxl built for us: its name tells it from the same guest moving within one host. */
static int recover_incoming(struct recovery *r, const struct state *s, struct err *e)
{
    char name[XL_NAME_BYTES + sizeof(INCOMING)];
    struct err none = ERR_INIT;
    struct xl_domain d;

    snprintf(name, sizeof(name), "%s%s", s->name, INCOMING);

    int rc = xl_by_name(&r->xl, name, &d, &none);

    if (rc == -ESRCH || (!rc && strcmp(d.uuid, s->uuid))) {
        log_info(r->log, "of \"%s\" from %s nothing is left here", s->name, s->peer);
        return 0;
    }
    if (rc)
        return err_take(e, &none);
    rc = xl_destroy(&r->xl, d.domid, e);
    if (!rc)
        log_info(r->log, "\"%s\" (domain %u), half-built for a migration from %s, is destroyed",
            name, d.domid, s->peer);
    return rc;
}

/* Whether the file has served its purpose. */
static bool judge_given(struct recovery *r, const struct state *s, const struct xl_domain *d)
{
    struct err none = ERR_INIT;

    if (put_cap_back(&r->xl, s, &none))
        log_error(r->log, "%s", none.text);
    if (!d->shut_down) {
        log_info(
            r->log, "\"%s\" (domain %u) was given to %s but runs here", d->name, d->domid, s->peer);
        return true;
    }
    log_warn(r->log,
        "\"%s\" (domain %u, suspended) was given to %s when the connection was lost: look there "
        "with xl list; if it runs there, here: xl destroy %u; if it does not, here: "
        "xmigrate --resume %u",
        d->name, d->domid, s->peer, d->domid, d->domid);
    raise_exit(r, EXIT_DOUBT);
    return false;
}

static bool judge_taken(struct recovery *r, const struct state *s, const struct xl_domain *d)
{
    struct err none = ERR_INIT;

    if (!d->paused) {
        log_info(
            r->log, "\"%s\" (domain %u) came from %s and runs here", d->name, d->domid, s->peer);
        if (monitor_start(d->domid, d->uuid, &none))
            log_error(r->log, "%s", none.text);
        return true;
    }
    log_warn(r->log,
        "\"%s\" (domain %u, paused) was given to this host by %s but never started: look there "
        "with xl list; if it runs there, here: xl destroy %u; if it does not, destroy it there, "
        "then here: xl rename %u %s; xl unpause %u",
        d->name, d->domid, s->peer, d->domid, d->domid, s->name, d->domid);
    raise_exit(r, EXIT_DOUBT);
    return false;
}

/* Given away or taken: whether the file has served its purpose; the error says why that could not
 * be seen. */
static bool look_after_go(struct recovery *r, const struct state *s, struct err *e)
{
    const bool given = s->phase == STATE_GIVEN;
    struct err none = ERR_INIT;
    struct xl_domain d;
    const int rc = xl_look_at(&r->xl, s->domid, s->uuid, &d, &none);

    if (rc == -ESRCH) {
        log_info(r->log, "\"%s\" %s %s and is gone here", s->name,
            given ? "was given to" : "came from", s->peer);
        return true;
    }
    if (rc) {
        err_take(e, &none);
        return false;
    }
    return given ? judge_given(r, s, &d) : judge_taken(r, s, &d);
}

static void recover_one(void *arg, struct state_file *f)
{
    struct recovery *r = arg;
    struct err e = ERR_INIT;
    bool settled = false;

    switch (f->now.phase) {
    case STATE_LIVE:
        settled = recover_live(r, &f->now, &e) == 0;
        break;
    case STATE_INCOMING:
        settled = recover_incoming(r, &f->now, &e) == 0;
        break;
    case STATE_GIVEN:
    case STATE_TAKEN:
        settled = look_after_go(r, &f->now, &e);
        break;
    }
    if (settled) {
        state_remove(f);
        return;
    }
    if (err_is_set(&e)) {
        log_error(r->log, "\"%s\": %s", f->now.name, e.text);
        raise_exit(r, EXIT_FAILED);
    }
    state_keep(f);
}

/* The meeting places of supervisors and helpers that were killed: link-PID. */
static void remove_dead_links(void)
{
    char dir[PATHS_BYTES], path[STATE_PATH_BYTES];
    struct err ignored = ERR_INIT;
    DIR *d = open_run_dir(dir, &ignored) ? NULL : opendir(dir);

    for (const struct dirent *entry; d && (entry = readdir(d));) {
        uint64_t pid;

        if (!strncmp(entry->d_name, "link-", 5) &&
            parse_u64(entry->d_name + 5, 1, INT32_MAX, &pid) && kill((pid_t)pid, 0) &&
            errno == ESRCH &&
            snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path))
            unlink(path);
    }
    if (d)
        closedir(d);
}

int recover_main(const struct log *log)
{
    struct recovery r = {.log = log, .exit_code = EXIT_DONE};
    struct err e = ERR_INIT;
    int rc = xl_prepare_process(&e);

    if (!rc)
        rc = xl_open(&r.xl, log, deadline_in(XL_SHORT_NS), &e);
    if (!rc) {
        rc = state_visit_orphans(log, recover_one, &r, &e);
        xl_close(&r.xl);
        remove_dead_links();
    }
    if (!rc)
        return r.exit_code;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}

/* --- xmigrate --resume DOM --- */

/* The guest's own name: what it was called before it was given away. */
static void own_name(const struct xl_domain *d, char name[static XL_NAME_BYTES])
{
    const size_t len = strlen(d->name), tail = strlen(MIGRATEDAWAY);

    snprintf(name, XL_NAME_BYTES, "%s", d->name);
    if (len > tail && !strcmp(name + len - tail, MIGRATEDAWAY))
        name[len - tail] = '\0';
}

static int check_resumable(
    struct xl *xl, const struct xl_domain *d, const char *name, struct err *e)
{
    struct err none = ERR_INIT;
    struct xl_domain other;

    if (!d->shut_down)
        return err_set(e, ERR_REFUSED, EALREADY,
            "\"%s\" (domain %u) %s: there is nothing to resume", d->name, d->domid,
            d->paused ? "is paused (xl unpause starts it)" : "runs");
    if (!xl_is_suspended(d))
        return err_set(e, ERR_REFUSED, EINVAL,
            "\"%s\" (domain %u) has shut down (%s) and was not suspended: it cannot be resumed",
            d->name, d->domid, xl_reason_name(d->reason));
    if (!strcmp(name, d->name))
        return 0;

    const int rc = xl_by_name(xl, name, &other, &none);

    if (!rc)
        return err_set(e, ERR_REFUSED, EEXIST,
            "\"%s\" is domain %u here now; if that is the same guest, moved, destroy the copy left "
            "behind instead: xl destroy %u",
            name, other.domid, d->domid);
    return rc == -ESRCH ? 0 : err_take(e, &none);
}

/* A person has decided: what was in doubt about this guest no longer is. */
struct decided {
    struct xl *xl;
    const char *uuid;
};

static void forget_source_state(void *arg, struct state_file *f)
{
    const struct decided *by = arg;
    struct err e = ERR_INIT;

    if (f->now.role != STATE_SOURCE || strcmp(f->now.uuid, by->uuid)) {
        state_keep(f);
        return;
    }
    if (put_cap_back(by->xl, &f->now, &e))
        log_error(by->xl->log, "%s", e.text);
    state_remove(f);
}

static int resume_domain(struct xl *xl, const char *dom, const struct log *log, struct err *e)
{
    struct domain_lock lock = {.fd = -1};
    struct state left = {.logging = true, .cap = STATE_NO_CAP};
    struct decided by = {xl, left.uuid};
    enum recover_found found;
    struct xl_domain d;
    int rc = xl_find(xl, dom, &d, e);

    if (rc)
        return rc;
    left.domid = d.domid;
    snprintf(left.uuid, sizeof(left.uuid), "%s", d.uuid);
    own_name(&d, left.name);
    rc = check_resumable(xl, &d, left.name, e);
    if (!rc)
        rc = domain_lock_take(&lock, d.domid, e);
    if (!rc)
        rc = recover_guest(xl, &left, &found, e);
    if (!rc && found == RECOVER_RESUMED) {
        log_info(log, "\"%s\" (domain %u) runs again", left.name, d.domid);
        rc = state_visit_orphans(log, forget_source_state, &by, e);
    }
    domain_lock_release(&lock);
    return rc;
}

int resume_main(const char *dom, const struct log *log)
{
    struct err e = ERR_INIT;
    struct xl xl;
    int rc = xl_prepare_process(&e);

    if (!rc)
        rc = xl_open(&xl, log, deadline_in(XL_SHORT_NS), &e);
    if (!rc) {
        rc = resume_domain(&xl, dom, log, &e);
        xl_close(&xl);
    }
    if (!rc)
        return EXIT_DONE;
    log_error(log, "%s", e.text);
    return e.class == ERR_REFUSED ? EXIT_REFUSED : EXIT_FAILED;
}
