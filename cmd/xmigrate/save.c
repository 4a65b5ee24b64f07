/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/save.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/exit_codes.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/filing.h"
#include "cmd/xmigrate/handoff/bring_back.h"
#include "cmd/xmigrate/hook.h"
#include "cmd/xmigrate/handoff/rescuer.h"
#include "cmd/xmigrate/image/new_file.h"
#include "cmd/xmigrate/image/scan.h"
#include "cmd/xmigrate/negotiate.h"
#include "cmd/xmigrate/restore.h"
#include "cmd/xmigrate/ui/file_view.h"
#include "cmd/xmigrate/ui/help.h"
#include "engine/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The parts of the pause that are not pages; nothing has to be said to another host. */
#define SUSPEND_ESTIMATE_NS (50 * NS_PER_MS)
#define RESUME_ESTIMATE_NS  (10 * NS_PER_MS)

/* To write the configuration, which is short. */
#define FRONT_NS (60 * NS_PER_S)
/* Of a file beside its pages: state, configuration, libxl's and libxc's records. */
#define EXTRA_BYTES (16ull << 20)

struct save {
    struct negotiation a;
    bool checkpoint; /* the guest lives on */
    int64_t start_ns;
    struct view view;
    struct event_stream events;
    struct bystander rescuer;
    struct filing filing;
    struct new_file file;
    int64_t hook_ns; /* what --while-suspended took */
    int64_t resumed_ns;
    uint64_t file_bytes;
    enum brought_back found; /* when it was brought back */
};

/* --- before anything is changed --- */

/* Once it is suspended, a checkpoint of such a guest would be one long pause. */
static int check_live(const struct save *s, struct err *e)
{
    if (s->filing.live || !s->checkpoint || s->a.options->revive)
        return 0;
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "\"%s\" is a PV guest, and this Xen has no shadow paging to track its writes with: it "
        "would stand still while all of it is written; --save does that",
        s->a.domain.name);
}

static int make_file(struct save *s, struct err *e)
{
    const int rc = new_file_check_room(&s->file, s->a.domain.memory_kb * 1024 + EXTRA_BYTES, e);

    return rc ? rc : new_file_create(&s->file, e);
}

static int write_front(struct save *s, struct err *e)
{
    struct image_note note = {.kind = s->checkpoint ? IMAGE_CHECKPOINT : IMAGE_SAVE,
        .program = "xmigrate " XMIGRATE_VERSION};
    const time_t now = time(NULL);
    struct tm utc;
    uint8_t *front;
    size_t len_bytes;

    strftime(note.made, sizeof(note.made), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));

    int rc = xl_file_write(s->a.config, &note, &front, &len_bytes, e);

    if (rc)
        return rc;
    rc = io_write_full(s->file.fd, front, len_bytes, &s->a.cancel, deadline_in(FRONT_NS));
    free(front);
    return rc ? err_set(e, ERR_REFUSED, -rc, "writing %s: %s", s->file.path, io_strerror(rc)) : 0;
}

static int prepare(struct save *s, struct err *e)
{
    const struct options *o = s->a.options;
    int rc = new_file_find(&s->file, o->file, getpid(), e);

    s->a.file = s->file.path;
    if (!rc)
        rc = rescuer_start(&s->rescuer, o->config_dir, e);
    if (!rc)
        rc = negotiate_begin(&s->a, e);
    if (!rc)
        rc = filing_prepare(&s->filing, e);
    if (!rc)
        rc = negotiate_hold(&s->a, e);
    s->filing.live = s->a.has_log_dirty;
    if (!rc)
        rc = check_live(s, e);
    if (!rc)
        rc = make_file(s, e);
    return rc ? rc : write_front(s, e);
}

static void fill_filing(struct save *s)
{
    const struct options *o = s->a.options;
    struct filing *f = &s->filing;

    f->log = &s->a.log;
    f->view = &s->view;
    f->events = &s->events;
    f->cancel = &s->a.cancel;
    f->xl = &s->a.xl;
    f->journal = &s->a.journal;
    f->lock_fd = s->a.lock.fd;
    f->suspend_ns = o->suspend_ns;
    f->silent_ns = o->silent_ns;
    f->has_device_model = s->a.domain.type == LIBXL_DOMAIN_TYPE_HVM;
    f->job = (struct link_job){
        .role = LINK_SOURCE,
        .plain = true,
        .lanes = 1,
        .domid = s->a.domain.domid,
        .verbose = o->log_level >= LOG_DEBUG,
        .silent_ns = o->silent_ns,
        .connect_ns = o->silent_ns,
        .limits = o->limits,
        .costs = {.suspend_ns = SUSPEND_ESTIMATE_NS,
            .state_ns = SOURCE_STATE_ESTIMATE_NS,
            .receiver_ns = RESUME_ESTIMATE_NS},
        .suspend_limit_ns = f->has_device_model ? 0 : o->suspend_ns,
    };
}

/* --- what is told --- */

static const char *what_is_done(const struct save *s)
{
    return s->checkpoint ? "checkpoint" : "save";
}

static void tell_start(struct save *s)
{
    const struct xl_domain *d = &s->a.domain;
    json_t *body = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:I, s:i, s:s, s:s}", "event",
        "start", "version", XMIGRATE_VERSION, "domain", d->name, "domid", (int)d->domid, "uuid",
        d->uuid, "type", xl_type_name(d->type), "live", s->filing.live, "memory_bytes",
        (json_int_t)(d->memory_kb * 1024), "vcpus", (int)d->vcpus, "kind", what_is_done(s), "file",
        s->file.path);

    s->view.guest_pages = d->memory_kb / 4;
    event_write(&s->events, body);
    json_decref(body);
    view_say(&s->view, "%s of %s (domain %u, %s, vCPUs: %u, %llu MiB) to %s%s", what_is_done(s),
        d->name, d->domid, xl_type_name(d->type), d->vcpus, (unsigned long long)d->memory_kb / 1024,
        s->file.path, s->filing.live ? "" : ", suspended first: this Xen cannot track its writes");
}

static int tell_failure(struct save *s, struct err *why, int code, const char *guest)
{
    json_t *body;

    why->side = SIDE_SOURCE;
    body = event_failed(why, code, guest);
    event_write(&s->events, body);
    json_decref(body);
    if (code == EXIT_FAILED && !strcmp(guest, "here"))
        log_error(&s->a.log, "\"%s\" runs on: %s", s->a.domain.name, why->text);
    else
        log_error(&s->a.log, "%s", why->text);
    return code;
}

static void tell_done(struct save *s)
{
    const struct filing *f = &s->filing;
    const struct file_summary sum = {.name = s->a.domain.name,
        .file = s->file.path,
        .checkpoint = s->checkpoint && !s->a.options->revive,
        .whole_ns = now_ns() - s->start_ns,
        .downtime_ns = s->resumed_ns - f->suspending_ns,
        .hook_ns = s->hook_ns,
        .resume_ns = s->resumed_ns - f->through_ns - s->hook_ns,
        .file_bytes = s->file_bytes,
        .total = f->total};
    json_t *body = file_event_done(&sum);
    char text[VIEW_SUMMARY_BYTES];

    event_write(&s->events, body);
    json_decref(body);
    format_file_summary(&sum, text);
    view_text(&s->view, text);
}

/* --- the ends --- */

/* By what Xen says, and with a monitor; also after --checkpoint went well. */
static int bring_back(struct save *s, struct err *e)
{
    s->found = BACK_RUNNING;
    return bring_back_guest(&s->a.xl, &s->a.journal.now, &s->a.lock, &s->found, e);
}

static int conclude_refused(struct save *s, struct err *why)
{
    /* One that was there already is not ours. */
    if (s->file.fd >= 0)
        new_file_drop(&s->file);
    negotiate_end(&s->a, why);
    return tell_failure(s, why, EXIT_REFUSED, "here");
}

/* There is a file under the name only if there was one before. */
static int conclude_failed(struct save *s, struct err *why)
{
    const bool untouched = why->class == ERR_REFUSED && !s->filing.suspending_ns &&
                           s->a.journal.now.cap == JOURNAL_NO_CAP;
    struct err e = ERR_INIT;

    if (!filing_stop(&s->filing, why)) {
        journal_keep(&s->a.journal);
        tell_failure(s, why, EXIT_DOUBT, "unknown");
        log_error(&s->a.log,
            "libxl does not come back: run xmigrate --recover, which looks after \"%s\" once this "
            "process has ended",
            s->a.domain.name);
        /* libxl's thread still uses what we would free. */
        _exit(EXIT_DOUBT);
    }
    /* A helper that refused before it touched the guest leaves nothing to undo, and the log-dirty
     * mode may be somebody else's. */
    if (!untouched && bring_back(s, &e)) {
        journal_keep(&s->a.journal);
        err_prepend(why, "bringing \"%s\" back: %s; look with xl list, then try xmigrate --recover",
            s->a.domain.name, e.text);
        return tell_failure(s, why, EXIT_DOUBT, "unknown");
    }
    /* Only now: should the disk have refused all records since *moved*, the file is the guest. */
    new_file_drop(&s->file);
    journal_remove(&s->a.journal);
    if (s->found == BACK_GONE && !untouched)
        return tell_failure(s, why, EXIT_FAILED, "gone");
    return tell_failure(s, why, untouched ? EXIT_REFUSED : EXIT_FAILED, "here");
}

/* Its own bytes, read again; and as many pages as the engine has sent. */
static int verify(struct save *s, struct err *e)
{
    struct image image;
    int rc = image_scan(s->file.fd, s->file.path, &image, e);

    if (rc)
        err_prepend(e, "what was written is not whole");
    else if (image.data_pages != s->filing.total.data_pages)
        rc = err_set(e, ERR_LOCAL, EIO, "%s has %llu pages, and %llu were written", s->file.path,
            (unsigned long long)image.data_pages, (unsigned long long)s->filing.total.data_pages);
    s->file_bytes = image.file_bytes;
    image_clear(&image);
    return rc;
}

static int make_durable(struct save *s, struct err *e)
{
    int rc = filing_until_over(&s->filing, e);

    if (!rc)
        rc = verify(s, e);
    if (!rc)
        rc = new_file_sync(&s->file, &s->a.journal.now.file_inode, e);
    if (!rc && cancel_is_fired(&s->a.cancel))
        rc = err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    return rc;
}

/* The guest stands still and its state is in the file: it runs here or in what the file becomes,
 * and from this record on --recover finishes it. */
static int publish_save(struct save *s, struct err *e)
{
    struct journal_record *now = &s->a.journal.now;
    struct err ignored = ERR_INIT;

    now->state = HANDOFF_MOVED;

    int rc = journal_save(&s->a.journal, e);

    if (!rc)
        rc = new_file_publish(&s->file, now->file_inode, e);
    if (!rc)
        return 0;
    now->state = HANDOFF_LIVE;
    if (journal_save(&s->a.journal, &ignored))
        log_warn(&s->a.log, "%s", ignored.text);
    return rc;
}

/* The guest stands still, its memory is read, and its disks have answered everything. */
static int run_hook(struct save *s, struct err *e)
{
    const struct options *o = s->a.options;
    const struct xl_domain *d = &s->a.domain;
    const int64_t begun_ns = now_ns();
    const struct hook hook = {.command = o->while_suspended,
        .domain = d->name,
        .uuid = d->uuid,
        .domid = d->domid,
        .file = s->file.path,
        .config = s->a.config,
        .limit_ns = o->hook_ns};

    if (!hook.command)
        return 0;

    const int rc = hook_run(&hook, &s->a.cancel, e);

    s->hook_ns = now_ns() - begun_ns;
    return rc;
}

static int conclude_saved(struct save *s)
{
    struct err e = ERR_INIT;

    if (run_hook(s, &e))
        return conclude_failed(s, &e);
    s->resumed_ns = s->filing.through_ns + s->hook_ns;
    if (make_durable(s, &e) || publish_save(s, &e))
        return conclude_failed(s, &e);
    tell_done(s);
    if (!xl_destroy(&s->a.xl, s->a.domain.domid, &e)) {
        journal_remove(&s->a.journal);
        return EXIT_DONE;
    }
    journal_keep(&s->a.journal);
    err_prepend(&e,
        "\"%s\" is saved in %s, but its suspended domain %u could not be destroyed, and must not "
        "run again (xmigrate --recover, or xl destroy %u)",
        s->a.domain.name, s->file.path, s->a.domain.domid, s->a.domain.domid);
    return tell_failure(s, &e, EXIT_DOUBT, "suspended");
}

static int conclude_checkpoint(struct save *s)
{
    struct err e = ERR_INIT;

    if (run_hook(s, &e) || bring_back(s, &e))
        return conclude_failed(s, &e);
    s->resumed_ns = now_ns();
    if (s->found != BACK_RESUMED)
        err_set(&e, ERR_GUEST, ESRCH, "\"%s\" was not suspended any more when it was to run on",
            s->a.domain.name);
    if (err_is_set(&e) || make_durable(s, &e) ||
        new_file_publish(&s->file, s->a.journal.now.file_inode, &e))
        return conclude_failed(s, &e);
    journal_remove(&s->a.journal);
    tell_done(s);
    return EXIT_DONE;
}

static int run(struct save *s)
{
    struct err e = ERR_INIT;

    if (prepare(s, &e))
        return conclude_refused(s, &e);
    fill_filing(s);
    tell_start(s);
    if (filing_start(&s->filing, s->a.domain.domid, s->file.fd, &e) ||
        filing_until_through(&s->filing, &e))
        return conclude_failed(s, &e);
    return s->checkpoint && !s->a.options->revive ? conclude_checkpoint(s) : conclude_saved(s);
}

/* The guest is in the file and nowhere else. Its disks have not changed since. */
static int revive(const struct options *o)
{
    const struct log log = {o->log_level, log_to_stderr, (void *)"xmigrate"};
    struct options again = *o;
    struct err ignored = ERR_INIT;

    signals_fire(NULL, &ignored);
    again.mode = MODE_RESTORE;
    again.disks_as_they_are = true;
    if (!restore_main(&again))
        return EXIT_DONE;
    log_error(&log,
        "the guest is in %s and nowhere else: xmigrate --restore --disks-as-they-are %s", o->file,
        o->file);
    return EXIT_DOUBT;
}

int save_main(const struct options *o)
{
    struct save s = {
        .checkpoint = o->mode == MODE_CHECKPOINT,
        .a = {.options = o, .lock = {.fd = -1}},
        .file = {.fd = -1, .dir_fd = -1},
        .rescuer = {.sock = -1},
        .start_ns = now_ns(),
        .events = {.fd = o->json ? STDOUT_FILENO : -1, .start_ns = now_ns()},
    };

    view_init(&s.view, o->log_level == LOG_ERROR);
    s.a.log = (struct log){o->log_level, view_log, &s.view};

    const int code = run(&s);

    rescuer_end(&s.rescuer);
    filing_clear(&s.filing);
    new_file_close(&s.file);
    negotiate_release(&s.a);
    view_destroy(&s.view);
    return code == EXIT_DONE && o->revive ? revive(o) : code;
}
