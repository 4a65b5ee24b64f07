/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/save.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/exit_codes.h"
#include "cmd/handoff/advice.h"
#include "cmd/version.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/compact_save.h"
#include "cmd/xmigrate/filing.h"
#include "cmd/xmigrate/frozen_room.h"
#include "cmd/xmigrate/handoff/bring_back.h"
#include "cmd/xmigrate/handoff/filed.h"
#include "cmd/xmigrate/hook.h"
#include "cmd/xmigrate/handoff/rescuer.h"
#include "cmd/xmigrate/image/new_file.h"
#include "cmd/xmigrate/image/replaced.h"
#include "cmd/xmigrate/image/scan.h"
#include "cmd/xmigrate/negotiate.h"
#include "cmd/xmigrate/restore.h"
#include "cmd/xmigrate/ui/file_view.h"
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
/* An index has up to 32 bytes for a page, and a slow disk takes 16 MiB of it in a second: of so
 * much memory. */
#define INDEX_KB_PER_S (2ull << 20)

struct save {
    struct negotiation a;
    bool checkpoint; /* the guest lives on */
    bool frozen;     /* it is copied to memory while it stands still */
    int64_t start_ns;
    struct view view;
    struct event_stream events;
    struct bystander rescuer;
    struct filing filing;
    struct new_file file;
    struct compact_save compact;
    int64_t hook_ns; /* what --while-suspended took */
    int64_t resumed_ns;
    uint64_t file_bytes;
    enum brought_back found; /* when it was brought back */
};

/* It is destroyed when its file is whole, and built again from it. */
static bool is_revived(const struct save *s)
{
    return s->checkpoint && s->a.resumable.choice.way == RESUME_REVIVE;
}

/* --- before anything is changed --- */

/* A checkpoint of a guest that is suspended first would be one long pause: it is copied to memory,
 * and written when it runs on. */
static int choose_copy(struct save *s, struct err *e)
{
    uint64_t available_bytes;
    int rc;

    s->filing.live = s->a.has_log_dirty && !s->a.options->offline;
    if (s->a.has_log_dirty || !s->checkpoint || is_revived(s) || s->a.options->offline)
        return 0;
    if (s->a.options->compact)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "\"%s\" is a PV guest, and this Xen has no shadow paging to track its writes with: "
            "with "
            "--compact it would stand still while it is written, which --offline allows",
            s->a.domain.name);
    rc = frozen_room_read(&available_bytes, e);
    if (!rc)
        rc = frozen_room_check(s->a.domain.name, s->a.domain.memory_kb * 1024, available_bytes, e);
    s->frozen = !rc;
    return rc;
}

/* Of a file, for the guest's pages. */
static uint64_t room_bytes(const struct save *s)
{
    const uint64_t memory_bytes = s->a.domain.memory_kb * 1024;

    return s->a.options->compact ? compact_save_room_bytes(&s->compact, memory_bytes)
                                 : memory_bytes;
}

static int make_file(struct save *s, struct err *e)
{
    const struct xl_domain *d = &s->a.domain;
    const struct options *o = s->a.options;
    int rc = o->force ? 0 : replaced_check(s->file.path, d->uuid, d->name, o->key, e);

    if (!rc)
        rc = new_file_check_room(&s->file, EXTRA_BYTES + room_bytes(s), e);
    return rc ? rc : new_file_create(&s->file, e);
}

static struct image_note describe(const struct save *s)
{
    struct image_note note = {.kind = s->checkpoint ? IMAGE_CHECKPOINT : IMAGE_SAVE};
    const time_t now = time(NULL);
    struct tm utc;

    snprintf(note.program, sizeof(note.program), "xmigrate %s", xmigrate_version);
    strftime(note.made, sizeof(note.made), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return note;
}

static int write_front(struct save *s, struct err *e)
{
    const struct image_note note = describe(s);
    uint8_t *front;
    size_t len_bytes;

    if (s->a.options->compact)
        return compact_save_create(&s->compact, s->file.fd, s->file.path, e);

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
    if (!rc)
        rc = choose_copy(s, e);
    if (!rc && o->compact)
        rc = compact_save_prepare(&s->compact, s->a.domain.uuid, &s->a.cancel, e);
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
    f->job = (struct link_job){
        .role = LINK_SOURCE,
        .plain = true,
        .frozen = s->frozen,
        .lanes = o->lanes,
        .domid = s->a.domain.domid,
        .verbose = o->log_level >= LOG_DEBUG,
        .silent_ns = o->silent_ns,
        .connect_ns = o->silent_ns,
        .limits = o->limits,
        .costs = {.suspend_ns = SUSPEND_ESTIMATE_NS,
            .state_ns = SOURCE_STATE_ESTIMATE_NS,
            .receiver_ns = RESUME_ESTIMATE_NS},
        .suspend_limit_ns = s->a.domain.type == LIBXL_DOMAIN_TYPE_HVM ? 0 : o->suspend_ns,
    };
    resumable_fill_job(&s->a.resumable, &f->job);
    if (!o->compact)
        return;
    f->compact = &s->compact;
    f->index_ns = (int64_t)(s->a.domain.memory_kb / INDEX_KB_PER_S) * NS_PER_S;
    f->job.files = compact_save_files(&s->compact);
    f->job.compress = o->compress;
}

/* --- what is told --- */

static const char *what_is_done(const struct save *s)
{
    return s->checkpoint ? "checkpoint" : "save";
}

static void tell_start(struct save *s)
{
    const struct xl_domain *d = &s->a.domain;
    json_t *body = json_pack("{s:s, s:s, s:i, s:s, s:s, s:b, s:I, s:i, s:s, s:s}", "event", "start",
        "domain", d->name, "domid", (int)d->domid, "uuid", d->uuid, "type", xl_type_name(d->type),
        "live", s->filing.live, "memory_bytes", (json_int_t)(d->memory_kb * 1024), "vcpus",
        (int)d->vcpus, "kind", what_is_done(s), "file", s->file.path);

    event_tell(&s->events, body);
    view_say(&s->view, "%s of %s (domain %u, %s, vCPUs: %u, %llu MiB) to %s%s", what_is_done(s),
        d->name, d->domid, xl_type_name(d->type), d->vcpus, (unsigned long long)d->memory_kb / 1024,
        s->file.path,
        s->frozen            ? ", by a copy in memory while it stands still: this Xen "
                               "cannot track its writes"
        : s->filing.live     ? ""
        : s->a.has_log_dirty ? ", suspended first"
                             : ", suspended first: this Xen cannot track its writes");
    if (s->a.resumable.choice.way == RESUME_REVIVE)
        view_say(&s->view, "once it is suspended it can go on from the file alone: %s",
            s->a.resumable.choice.why);
}

static int tell_failure(struct save *s, struct err *why, int code, const char *guest)
{
    json_t *body;

    why->side = SIDE_SOURCE;
    body = event_failed(why, code, guest);
    event_tell(&s->events, body);
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
        .checkpoint = s->checkpoint && !is_revived(s),
        .whole_ns = now_ns() - s->start_ns,
        .downtime_ns = s->resumed_ns - f->suspending_ns,
        .hook_ns = s->hook_ns,
        .resume_ns = s->resumed_ns - f->through_ns - s->hook_ns,
        .file_bytes = s->file_bytes,
        .total = f->total};
    json_t *body = file_event_done(&sum);
    char text[VIEW_SUMMARY_BYTES];

    event_tell(&s->events, body);
    format_file_summary(&sum, text);
    view_text(&s->view, text);
}

/* --- the ends --- */

/* By what Xen says, and with a monitor; also after --checkpoint went well. */
static int bring_back(struct save *s, struct err *e)
{
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
        const bool runs = brought_back_runs(s->found);

        journal_keep(&s->a.journal);
        handoff_unsettled(why, s->a.domain.name, &e, runs);
        return tell_failure(s, why, runs ? EXIT_FAILED : EXIT_DOUBT, runs ? "here" : "unknown");
    }
    resumable_learn(&s->a.domain, why);
    /* Only now: should the disk have refused all records since *moved*, the file is the guest. */
    new_file_drop(&s->file);
    journal_remove(&s->a.journal);
    if (s->found == BACK_GONE && !untouched)
        return tell_failure(s, why, EXIT_FAILED, "gone");
    return tell_failure(s, why, untouched ? EXIT_REFUSED : EXIT_FAILED, "here");
}

/* Its own bytes, read again; and as many pages as the engine has sent (but a compact file does not
 * count a page that came twice). */
static int verify(struct save *s, struct err *e)
{
    const bool compact = s->a.options->compact;
    struct image image = {0};
    int rc = compact ? compact_save_verify(&s->compact, !s->checkpoint || is_revived(s), &image, e)
                     : image_scan(s->file.fd, s->file.path, &image, e);

    if (rc)
        err_prepend(e, "what was written is not whole");
    else if (!compact && image.data_pages != s->filing.total.data_pages)
        rc = err_set(e, ERR_LOCAL, EIO, "%s has %llu pages, and %llu were written", s->file.path,
            (unsigned long long)image.data_pages, (unsigned long long)s->filing.total.data_pages);
    s->file_bytes = image.file_bytes;
    image_clear(&image);
    return rc;
}

static int make_durable(struct save *s, struct err *e)
{
    const struct image_note note = describe(s);
    int rc = filing_until_over(&s->filing, e);

    if (!rc && s->a.options->compact)
        rc = compact_save_complete(&s->compact, s->a.config, &note, e);
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
    now->revive = is_revived(s);
    snprintf(now->file_key, sizeof(now->file_key), "%s", s->compact.key_path);
    snprintf(now->file_parent, sizeof(now->file_parent), "%s", s->compact.parent_path);

    int rc = journal_save(&s->a.journal, e);

    if (!rc)
        rc = new_file_publish(&s->file, now->file_inode, e);
    if (!rc)
        return 0;
    now->state = HANDOFF_LIVE;
    now->revive = false;
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
        /* Until it is built again, the record says where it is. */
        if (s->a.journal.now.revive)
            journal_keep(&s->a.journal);
        else
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

    const int fd = s->a.options->compact ? s->compact.libxl_fd : s->file.fd;

    if (filing_start(&s->filing, s->a.domain.domid, fd, &e) || filing_until_through(&s->filing, &e))
        return conclude_failed(s, &e);
    return s->checkpoint && !is_revived(s) ? conclude_checkpoint(s) : conclude_saved(s);
}

/* The guest is in the file and nowhere else. Its disks have not changed since. */
static int revive(const struct options *o, const struct journal_record *from, const char *migration)
{
    const struct log log = {o->log_level, log_to_stderr, (void *)"xmigrate"};
    struct options again = *o;
    char command[FILED_COMMAND_BYTES];
    struct err ignored = ERR_INIT;

    signals_fire(NULL, &ignored);
    again.mode = MODE_RESTORE;
    again.disks_as_they_are = true;
    again.resume_as = RESUME_AS_REVIVE;
    if (!restore_revived(&again, migration))
        return EXIT_DONE;
    log_error(&log, "the guest is in %s and nowhere else: %s", from->file,
        filed_restore_command(from, command));
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

    event_name_migration(&s.events);
    compact_save_init(&s.compact, o);
    view_init(&s.view, o->log_level == LOG_ERROR);
    s.view.to_file = true;
    s.a.log = (struct log){o->log_level, view_log, &s.view};

    int code = run(&s);

    filing_clear(&s.filing);
    compact_save_clear(&s.compact);
    new_file_close(&s.file);
    negotiate_release(&s.a);
    view_destroy(&s.view);
    if (code == EXIT_DONE && is_revived(&s))
        code = revive(o, &s.a.journal.now, s.events.migration);
    rescuer_end(&s.rescuer);
    return code;
}
