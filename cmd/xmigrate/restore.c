/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/restore.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/exit_codes.h"
#include "cmd/handoff/journal.h"
#include "cmd/handoff/names.h"
#include "cmd/lock.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/compact_save.h"
#include "cmd/xmigrate/emulator.h"
#include "cmd/xmigrate/handoff/copy.h"
#include "cmd/xmigrate/handoff/filed.h"
#include "cmd/xmigrate/image/any_file.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/config.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "cmd/xmigrate/libxl/operation.h"
#include "cmd/xmigrate/libxl/saved_config.h"
#include "cmd/xmigrate/suitable.h"
#include "cmd/xmigrate/ui/help.h"
#include "cmd/xmigrate/ui/view.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct restore {
    const struct options *o;
    struct log log;
    struct view view;
    struct event_stream events;
    int64_t start_ns;
    struct cancel cancel;
    bool cancellable;

    struct any_file file;
    struct xl xl;
    libxl_domain_config config;
    char name[XL_NAME_BYTES];
    char incoming[XL_NAME_BYTES + sizeof(HANDOFF_INCOMING)]; /* until it is complete */
    char uuid[XL_UUID_TEXT_BYTES];
    struct journal journal;
    bool journal_begun;
    struct journal departure; /* of a guest that is revived; lock_fd -1: it is not */
    const char *guest;        /* where it is before anything is built, as events have it */
    struct domain_lock lock;  /* the domain's, shared with the helper */
    uint32_t domid;           /* once there is one */

    struct operation op;
};

/* --- before anything is built --- */

/* What libxl would convert, or not, is converted by us, beforehand. */
static int check_format(const struct restore *r, struct err *e)
{
    if (r->file.is_legacy)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s is of a Xen before 4.6: xmigrate --export makes one of it that can be restored",
            r->o->file);
    if (r->file.image.config_is_text)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has a configuration that is xl's own text: xl restore reads it", r->o->file);
    return 0;
}

static int read_file(struct restore *r, struct err *e)
{
    const struct chain_hints hints = {r->o->parents, r->o->parent_count, r->o->key, &r->cancel};
    int rc = suitable_file(r->o->file, e);

    if (!rc)
        rc = any_file_open(&r->file, r->o->file, &hints, e);
    chain_files_forget_pages(&r->file.chain); /* the helper reads them for itself */
    return rc ? rc : check_format(r, e);
}

static int check_name(struct restore *r, const char *name, struct err *e)
{
    struct err none = ERR_INIT;
    struct xl_domain d;
    const int rc = xl_by_name(&r->xl, name, &d, &none);

    if (rc == -ESRCH)
        return 0;
    if (rc)
        return err_take(e, &none);
    return err_set(e, ERR_REFUSED, EEXIST,
        "a domain named \"%s\" exists (domain %u): --name gives this one another", name, d.domid);
}

static int check_uuid(struct restore *r, struct err *e)
{
    struct err none = ERR_INIT;
    struct xl_domain d;
    const int rc = xl_by_uuid(&r->xl, r->uuid, &d, &none);

    r->guest = rc == -ESRCH ? "gone" : rc ? "unknown" : "here";
    if (rc == -ESRCH)
        return 0;
    if (rc)
        return err_take(e, &none);
    return err_set(e, ERR_REFUSED, EEXIST,
        "the guest itself is here: domain %u (\"%s\") has its UUID, and it must not run twice; "
        "--clone makes another guest of it",
        d.domid, d.name);
}

static int refuse_unsettled(const struct journal_record *s, struct err *e)
{
    if (s->host[0] && (s->state == HANDOFF_GIVEN || s->state == HANDOFF_MOVED))
        return err_set(e, ERR_REFUSED, EBUSY,
            "the guest was given to %s, where it may run, and that is not settled: xmigrate "
            "--resolve first",
            s->host);
    return err_set(e, ERR_REFUSED, EBUSY,
        "a move or save of the guest to %s is not settled: xmigrate --recover first", s->peer);
}

/* It was destroyed to be built again from this file. */
static bool is_revived_from(const struct restore *r, const struct journal_record *s)
{
    struct stat st;

    return filed_is_revived(s) && !fstat(any_file_fd(&r->file), &st) && st.st_ino == s->file_inode;
}

/* What this host knows of its departure: it may run on another host, or be in a file that
 * --recover gives its name. A clone's UUID is new. */
static int check_record(struct restore *r, struct err *e)
{
    struct journal j = {.lock_fd = -1};
    int rc = journal_open(&j, HANDOFF_SOURCE, r->uuid, e);

    if (rc == -ENOENT && !err_is_set(e))
        return 0;
    if (!rc && is_revived_from(r, &j.now)) {
        r->departure = j;
        return 0;
    }
    if (!rc && !journal_is_harmless(&j.now))
        rc = refuse_unsettled(&j.now, e);
    if (rc)
        r->guest = "unknown";
    journal_keep(&j);
    return rc;
}

static int check_type(struct restore *r, struct err *e)
{
    const libxl_domain_type type = r->config.c_info.type;
    struct xl_host host;
    int rc = xl_host(&r->xl, &host, e);

    if (!rc && (r->file.image.guest_type == V3_GUEST_PV) != (type == LIBXL_DOMAIN_TYPE_PV))
        rc = err_set(e, ERR_REFUSED, EBADMSG,
            "its configuration is of a %s guest, and its memory is not", xl_type_name(type));
    if (!rc && !(type == LIBXL_DOMAIN_TYPE_PV ? host.pv : host.hvm))
        rc = err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "this host's Xen cannot run %s guests (xl info shows virt_caps)", xl_type_name(type));
    return rc;
}

static int choose_disks(struct restore *r, struct err *e)
{
    const struct options *o = r->o;
    int rc = 0;

    for (unsigned i = 0; i < o->disk_count && !rc; i++)
        rc = saved_config_give_disk(&r->config, o->disks[i], e);
    if (rc || o->disks_as_they_are || (!o->clone && r->file.image.note.kind != IMAGE_CHECKPOINT))
        return rc;
    return saved_config_check_disks(&r->config, o->disks, o->disk_count, o->clone, e);
}

static int choose_config(struct restore *r, struct err *e)
{
    const char *text = r->file.image.config, *name;
    struct err why = ERR_INIT;
    int rc = xl_config_parse(&r->xl, text, strlen(text), &r->config, &why);

    if (rc)
        return err_set(e, ERR_REFUSED, EBADMSG, "%s", why.text);
    name = r->o->name ?: r->config.c_info.name;
    if (snprintf(r->name, sizeof(r->name), "%s", name) + sizeof(HANDOFF_INCOMING) >=
        sizeof(r->incoming))
        return err_set(e, ERR_REFUSED, ENAMETOOLONG, "the domain's name is too long: --name N");
    snprintf(r->incoming, sizeof(r->incoming), "%s%s", r->name, HANDOFF_INCOMING);
    rc = choose_disks(r, e);
    if (!rc && r->o->clone)
        rc = saved_config_clone(&r->config, e);
    xl_uuid_text(&r->config.c_info.uuid, r->uuid);
    return rc ? rc : xl_config_for_restore(&r->config, r->incoming, e);
}

static int admit(struct restore *r, struct err *e)
{
    static const struct device_model_version any;
    int rc = choose_config(r, e);

    if (!rc)
        rc = check_type(r, e);
    if (!rc)
        rc = emulator_check(&r->config, any, e);
    if (!rc)
        rc = check_uuid(r, e);
    if (!rc)
        rc = check_record(r, e);
    if (!rc)
        rc = check_name(r, r->name, e);
    if (!rc)
        rc = check_name(r, r->incoming, e);
    return rc ? rc : xl_config_check_memory(&r->xl, &r->config, r->name, e);
}

static int begin_state(struct restore *r, struct err *e)
{
    const struct journal_record s = journal_arrival(r->uuid, r->name, r->o->file);
    const int rc = journal_begin(&r->journal, &s, e);

    r->journal_begun = !rc;
    return rc;
}

static int prepare(struct restore *r, struct err *e)
{
    int rc = xl_prepare_process(e);

    if (!rc)
        rc = cancel_init(&r->cancel, e);
    r->cancellable = !rc;
    /* A guest that is revived is nowhere else: its restore is not stopped. */
    if (!rc)
        rc = signals_fire(r->o->resume_as == RESUME_AS_REVIVE ? NULL : &r->cancel, e);
    if (!rc)
        rc = operation_prepare(&r->op, e);
    if (!rc)
        rc = read_file(r, e);
    if (rc)
        return rc;
    rc = xl_open(&r->xl, &r->log, deadline_in(XL_SHORT_NS), e);
    if (!rc && admit(r, e)) {
        err_prepend(e, "%s", r->o->file);
        rc = -e->code;
    }
    return rc ? rc : begin_state(r, e);
}

/* --- building --- */

/* libxl gives the domain its name before it starts the helper. */
static int give_job(void *arg, struct link_job *job, int *lock_fd, struct err *e)
{
    struct restore *r = arg;
    struct xl_domain d;
    int rc = xl_by_name(&r->xl, r->incoming, &d, e);

    if (rc == -ESRCH)
        rc = err_set(e, ERR_LOCAL, ESRCH, "libxl made no domain named \"%s\"", r->incoming);
    if (!rc)
        rc = domain_lock_take(&r->lock, d.domid, e);
    if (rc)
        return rc;
    r->domid = r->journal.now.domid = d.domid;
    r->journal.now.helper = r->op.helper;
    *job = (struct link_job){
        .role = LINK_DESTINATION,
        .plain = true,
        .lanes = 1,
        .domid = d.domid,
        .verbose = r->log.max >= LOG_DEBUG,
        .silent_ns = r->o->silent_ns,
        .connect_ns = r->o->silent_ns,
    };
    if (r->file.chain.chain.count) {
        job->files = r->file.chain.chain.count;
        job->lanes = r->o->lanes;
    }
    *lock_fd = r->lock.fd;
    return journal_save(&r->journal, e);
}

static int give_files(void *arg, int link_sock, struct err *e)
{
    return compact_hand_over_chain(&((struct restore *)arg)->file.chain.chain, link_sock, e);
}

/* What it did is libxl's to judge: its operation ends with it. */
static int hear_helper(void *arg, const struct link_message *m, struct err *e)
{
    (void)arg;
    return m->kind == LINK_BUILD ? err_set(e, ERR_INTERNAL, EPROTO,
                                       "the save helper wants to build early from a file")
                                 : 0;
}

static void turn_while_stopping(void *arg, int64_t until_ns)
{
    struct restore *r = arg;
    struct err ignored = ERR_INIT;

    operation_turn(&r->op, NULL, until_ns, &r->domid, &ignored);
}

static const struct operation_owner owner = {
    give_job, hear_helper, turn_while_stopping, give_files};

static int build(struct restore *r, struct err *e)
{
    const int fd = any_file_stream(&r->file, e);
    int rc = fd < 0 ? fd : operation_restore_from(&r->op, &r->config, fd, e);

    while (!rc && r->op.async)
        rc = operation_turn(&r->op, &r->cancel, DEADLINE_NEVER, &r->domid, e);
    return rc;
}

/* From the rename on it is a whole domain, which stays whatever happens to us. */
static int start(struct restore *r, struct err *e)
{
    int rc = xl_rename(&r->xl, r->domid, r->incoming, r->name, deadline_in(XL_SHORT_NS), e);

    if (rc)
        return rc;
    journal_remove(&r->journal);
    r->journal_begun = false;
    if (!r->o->paused)
        rc = xl_unpause(&r->xl, r->domid, deadline_in(XL_SHORT_NS), e);
    if (!rc && r->departure.lock_fd >= 0)
        journal_remove(&r->departure);
    return rc ? rc : monitor_start(r->domid, r->uuid, e);
}

/* --- the ends --- */

static int tell_failure(struct restore *r, struct err *why, int code, const char *guest)
{
    json_t *body;

    why->side = SIDE_DESTINATION;
    body = event_failed(why, code, guest);
    event_tell(&r->events, body);
    log_error(&r->log, "%s", why->text);
    return code;
}

static int remove_half_built(struct restore *r, struct err *e)
{
    uint32_t domid;
    const int rc = copy_find(
        &r->xl, r->incoming, r->uuid, r->domid ? r->domid : JOURNAL_NO_DOMID, &domid, e);

    if (rc)
        return rc == -ESRCH ? 0 : rc;
    return xl_destroy(&r->xl, domid, e);
}

static int conclude_failed(struct restore *r, struct err *why)
{
    struct err e = ERR_INIT;

    if (!operation_stop(&r->op, why)) {
        journal_keep(&r->journal);
        tell_failure(r, why, EXIT_FAILED, "unknown");
        log_error(&r->log, "libxl does not come back: run xmigrate --recover, which removes what "
                           "was built once this process has ended");
        /* libxl's thread still uses what we would free. */
        _exit(EXIT_FAILED);
    }
    err_prepend(why, "\"%s\" is not restored", r->name);
    if (remove_half_built(r, &e)) {
        journal_keep(&r->journal);
        tell_failure(r, why, EXIT_FAILED, "unknown");
        log_error(&r->log, "removing what was built: %s; run xmigrate --recover", e.text);
        return EXIT_FAILED;
    }
    journal_remove(&r->journal);
    return tell_failure(r, why, EXIT_FAILED, "gone");
}

/* It is complete and has its name: nothing is removed any more. */
static int conclude_unstarted(struct restore *r, struct err *why)
{
    err_prepend(why, "\"%s\" (domain %u) is restored, but not all went well; look with xl list",
        r->name, r->domid);
    return tell_failure(r, why, EXIT_FAILED, "here");
}

static int conclude_done(struct restore *r)
{
    char took[UNITS_TEXT_BYTES];
    json_t *body = json_pack("{s:s, s:s, s:s, s:i, s:s, s:b, s:I}", "event", "restored", "file",
        r->o->file, "domain", r->name, "domid", (int)r->domid, "uuid", r->uuid, "paused",
        r->o->paused, "total_ns", (json_int_t)(now_ns() - r->start_ns));

    event_tell(&r->events, body);
    view_say(&r->view, "%s %s as domain %u, from %s, after %s", r->name,
        r->o->paused ? "is here, paused," : "runs", r->domid, r->o->file,
        format_duration(now_ns() - r->start_ns, took));
    return EXIT_DONE;
}

static int run(struct restore *r)
{
    struct err e = ERR_INIT;

    if (prepare(r, &e)) {
        if (r->journal_begun)
            journal_remove(&r->journal);
        return tell_failure(r, &e, EXIT_REFUSED, r->guest);
    }
    view_say(&r->view, "restoring %s (%s) from %s", r->name, xl_type_name(r->config.c_info.type),
        r->o->file);
    if (build(r, &e))
        return conclude_failed(r, &e);
    if (!start(r, &e))
        return conclude_done(r);
    return r->journal_begun ? conclude_failed(r, &e) : conclude_unstarted(r, &e);
}

static void release(struct restore *r)
{
    operation_clear(&r->op);
    journal_keep(&r->departure);
    domain_lock_release(&r->lock);
    if (r->xl.ctx)
        xl_close(&r->xl);
    xl_config_dispose(&r->config);
    any_file_close(&r->file);
    signals_reset();
    if (r->cancellable)
        cancel_destroy(&r->cancel);
    view_destroy(&r->view);
}

static int restore_as(const struct options *o, const char *migration)
{
    struct restore r = {
        .o = o,
        .file = {.fd = -1, .libxl_fd = -1},
        .guest = "unknown",
        .journal = {.lock_fd = -1},
        .departure = {.lock_fd = -1},
        .lock = {.fd = -1},
        .start_ns = now_ns(),
        .events = {.fd = o->json ? STDOUT_FILENO : -1, .start_ns = now_ns()},
    };

    if (migration)
        snprintf(r.events.migration, sizeof(r.events.migration), "%s", migration);
    else
        event_name_migration(&r.events);
    view_init(&r.view, o->log_level == LOG_ERROR);
    r.log = (struct log){o->log_level, view_log, &r.view};
    xl_config_init(&r.config);
    operation_init(&r.op, &owner, &r);
    r.op.log = &r.log;
    r.op.silent_ns = o->silent_ns;

    const int code = run(&r);

    release(&r);
    return code;
}

int restore_main(const struct options *o)
{
    return restore_as(o, NULL);
}

int restore_revived(const struct options *o, const char *migration)
{
    return restore_as(o, migration);
}
