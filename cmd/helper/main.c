/* SPDX-License-Identifier: MIT */
/*
 * xmigrate-save-helper: the process libxl starts to save or restore a domain (its
 * LIBXL_SAVE_HELPER). With XMIGRATE_LINK in the environment it works for a supervising xmigrate
 * (native: trunk and lanes, or the plain libxc stream for a file); without, it speaks that stream
 * alone (drop-in). In both, libxl's pipes are the toolstack's.
 *
 * The guest comes first: if the toolstack dies before it was told "complete", nobody else can
 * know that the guest was given away, so a guest that was suspended for us is resumed here.
 */
#include "base/deadline.h"
#include "base/io.h"
#include "cmd/device_model.h"
#include "cmd/handoff/machine.h"
#include "cmd/helper/args.h"
#include "cmd/helper/events.h"
#include "cmd/helper/keeper.h"
#include "cmd/helper/native.h"
#include "cmd/helper/privileges.h"
#include "cmd/helper/shim.h"
#include "cmd/helper/toolstack.h"
#include "cmd/helper/watch.h"
#include "cmd/link.h"
#include "cmd/lock.h"
#include "cmd/paths.h"
#include "crypto/wipe.h"
#include "engine/dest.h"
#include "engine/drain.h"
#include "engine/in/plain.h"
#include "engine/out/frozen.h"
#include "engine/out/plain.h"
#include "engine/out/plain_file.h"
#include "engine/source.h"
#include "engine/xen/domain.h"
#include "engine/xen/rescue.h"
#include "engine/xen/suspend.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* What a stop policy may assume before anything was measured, and drop-in limits. */
#define SUSPEND_ESTIMATE_NS  (50 * NS_PER_MS)
#define RECEIVER_ESTIMATE_NS (100 * NS_PER_MS)
#define DEFAULT_DOWNTIME_NS  (300 * NS_PER_MS)

#define SUSPEND_BACKSTOP_NS (10 * NS_PER_S)

/* A hand-over takes no longer. */
#define LEAVE_NS (10 * NS_PER_S)

enum { DEFAULT_ROUNDS = 30, EXIT_TOOLSTACK_GONE = 1, EXIT_BAD_START = 2 };

struct helper {
    struct helper_args args;
    struct toolstack toolstack;
    struct shim shim;
    struct bystander keeper;
    bool built;          /* libxl was told "complete" while the guest still came */
    bool has_asked;      /* whether it may suspend the guest */
    bool told_done;      /* the supervisor may give the guest away: it is not ours to resume */
    bool stayed;         /* after that, until the supervisor let go: its rescuer does the rest */
    struct watch *watch; /* while it runs */
    struct log log;
    struct cancel cancel;
    struct native native; /* link_sock is -1 in drop-in use */
    struct events events;
    struct domain_lock lock;
    struct xen xen; /* for suspend and rescue: the engine has its own handles */
    bool xen_is_open;
    /* For the rescue as well, and open from the start: of a guest that has one. */
    struct device_model device_model;
    struct suspend suspend;
    struct drain *drain;  /* a save's, until the engine takes it */
    struct source *saved; /* a save that went well: for the end of this process to free */
    uint8_t uuid[16];
    struct total_report total;
    struct dest_result result;
};

static struct log stderr_log(void)
{
    return (struct log){LOG_INFO, log_to_stderr, "xmigrate-save-helper"};
}

static int switch_qemu_logdirty(void *arg, bool enable, struct err *e)
{
    struct helper *h = arg;

    return toolstack_switch_qemu_logdirty(&h->toolstack, h->args.domid, enable, e);
}

/* The deadline is a backstop for a supervisor that says nothing: it has the limit. */
static int ask_guest(
    struct helper *h, const struct suspend_work *work, bool *pending, struct err *e)
{
    const int64_t limit_ns = h->native.job.suspend_limit_ns + SUSPEND_BACKSTOP_NS;
    const int rc = suspend_open(&h->suspend, h->args.domid, e);

    *pending = false;
    return rc ? rc
              : suspend_ask(
                    &h->suspend, &h->xen, work, &h->cancel, deadline_in(limit_ns), pending, e);
}

/* libxl only says that it failed: the vCPUs may have stopped, and the device model not. */
static int suspend_by_libxl(struct helper *h, struct err *e)
{
    struct err none = ERR_INIT;
    const int rc = toolstack_suspend(&h->toolstack, e);

    if (rc != -ETIMEDOUT || domain_check_suspended(&h->xen, h->args.domid, &none))
        return rc;
    *e = (struct err)ERR_INIT;
    return err_set(e, ERR_LOCAL, EIO,
        "the guest suspended, but libxl could not stop its device model (QEMU) and save its state");
}

/* libxl does not return before the guest is down, so it leaves no time for the work. */
static int suspend_guest(void *arg, const struct suspend_work *work, struct err *e)
{
    struct helper *h = arg;
    const bool by_us = h->native.link_sock >= 0 && h->native.job.suspend_limit_ns;
    bool pending;
    int rc;

    /* A vCPU that waits for it would not stop, and libxl could not save it. */
    if (device_model_is_gone(&h->device_model))
        return err_set(e, ERR_GUEST, EPIPE,
            "the device model (QEMU) of domain %u has died: the guest is not asked to suspend",
            h->args.domid);
    domain_lock_note_asked(&h->lock, true);
    if (by_us) {
        rc = ask_guest(h, work, &pending, e);
    } else {
        rc = suspend_by_libxl(h, e);
        pending = rc != 0; /* for all we know */
    }
    if (!pending)
        domain_lock_note_asked(&h->lock, false);
    return rc;
}

/* The supervisor does it: it keeps account of what the cap was, and takes it back. */
static int cap_guest(void *arg, unsigned percent, struct err *e)
{
    struct helper *h = arg;

    return link_send_cap(h->native.link_sock, percent, e);
}

static int tell_static_data(void *arg, unsigned missing, struct err *e)
{
    struct helper *h = arg;

    return toolstack_static_data_done(&h->toolstack, missing, e);
}

static bool is_prepared(void *arg)
{
    const struct helper *h = arg;

    return cancel_is_fired(&h->watch->prepared);
}

/* The supervisor has something to do first. */
static int may_suspend(void *arg, bool *may, struct err *e)
{
    struct helper *h = arg;

    *may = !h->native.job.asks || cancel_is_fired(&h->watch->allowed);
    if (*may || h->has_asked)
        return 0;
    h->has_asked = true;
    return link_send_before_suspend(h->native.link_sock, e);
}

/* From here on the supervisor looks after the domain and after this process: libxl is through with
 * it, and gets nothing more to log. */
static int let_libxl_build(void *arg, const struct guest_rings *rings, struct err *e)
{
    struct helper *h = arg;

    if (!h->native.job.early)
        return err_set(e, ERR_PEER, EPROTO, "PREPARE came, and ACCEPT had said that it must not");

    int rc = toolstack_restore_results(&h->toolstack, rings->store_gfn, rings->console_gfn, e);

    watch_forget_libxl(h->watch);
    if (!rc)
        rc = toolstack_complete(&h->toolstack, 0, 0, e);
    if (rc)
        return rc;
    h->built = true;
    toolstack_end(&h->toolstack);
    rc = link_send_build(h->native.link_sock, e);
    return rc ? rc : shim_release(&h->shim, e);
}

static int open_frozen(struct helper *h, struct out **out, struct err *e)
{
    const struct out_frozen_params p = {
        .fd = h->args.stream_fd,
        .lane_count = h->native.job.lanes,
        .cancel = &h->cancel,
        .log = &h->log,
        .written = events_report_written,
        .arg = &h->events,
    };

    return out_frozen_open(&p, out, e);
}

static int open_file(struct helper *h, struct out **out, struct err *e)
{
    const struct out_plain_file_params p = {
        .fd = h->args.stream_fd,
        .lane_count = h->native.job.lanes,
        .cancel = &h->cancel,
        .log = &h->log,
    };

    return out_plain_file_open(&p, out, e);
}

static void tune(void *arg, const struct link_tune *wanted)
{
    struct helper *h = arg;

    native_tune(&h->native, wanted);
}

static void read_limits(void *arg, struct decide_limits *limits)
{
    struct helper *h = arg;

    native_read_limits(&h->native, limits);
}

static int open_out(struct helper *h, struct out **out, struct err *e)
{
    struct native *n = &h->native;

    if (n->job.frozen)
        return open_frozen(h, out, e);
    if (native_has_lanes(n))
        return native_open_out(n, &h->cancel, &h->log, out, e);
    if (n->files.count)
        return files_open_out(&n->files, &n->job, &h->cancel, &h->log, out, e);
    return n->job.plain ? open_file(h, out, e)
                        : out_plain_open(h->args.stream_fd, &h->cancel, out, e);
}

static int open_in(struct helper *h, struct in **in, struct err *e)
{
    struct native *n = &h->native;

    if (native_has_lanes(n))
        return native_open_in(n, &h->cancel, &h->log, in, e);
    return n->files.count ? files_open_in(&n->files, &n->job, &h->cancel, &h->log, in, e)
                          : in_plain_open(h->args.stream_fd, &h->cancel, &h->log, in, e);
}

static json_t *describe_done(const struct helper *h)
{
    return h->args.save ? describe_total(&h->total) : describe_dest_result(&h->result);
}

/* A supervisor that was told gives the guest away when the other host is ready, or lets it run on,
 * so nobody but it or --recover, which ask the journal, may resume it after that. */
static void tell_done(struct helper *h)
{
    struct err ignored = ERR_INIT;

    h->told_done = !link_send_done(h->native.link_sock, describe_done(h), &ignored);
}

static int save_domain(struct helper *h, struct err *e)
{
    const struct source_toolstack toolstack = {
        suspend_guest, switch_qemu_logdirty, cap_guest, is_prepared, may_suspend, read_limits, h};
    const struct report_ops report = events_source_ops(&h->events);
    struct source_params p = {
        .domid = h->args.domid,
        .live = h->args.live,
        .verify = h->args.verify,
        .log = &h->log,
        .cancel = &h->cancel,
        .toolstack = &toolstack,
        .report = &report,
        .notes = &h->native.notes,
        .limits = {.max_downtime_ns = DEFAULT_DOWNTIME_NS, .max_rounds = DEFAULT_ROUNDS},
        .costs = {.suspend_ns = SUSPEND_ESTIMATE_NS,
            .state_ns = SOURCE_STATE_ESTIMATE_NS,
            .receiver_ns = RECEIVER_ESTIMATE_NS},
    };
    const int rc = open_out(h, &p.out, e);

    native_fill_source(&h->native, &p);
    if (rc)
        return rc;
    p.drain = h->drain;
    h->drain = NULL;
    if (source_run(&p, &h->total, &h->saved, e) || !p.out->ops->finish)
        return -e->code;
    /* The supervisor lets the guest run on meanwhile, unless it waits for libxl's part. */
    tell_done(h);
    return source_finish(h->saved, e);
}

static int restore_domain(struct helper *h, struct err *e)
{
    const struct dest_toolstack toolstack = {tell_static_data, let_libxl_build, h};
    const struct dest_report_ops report = events_dest_ops(&h->events);
    struct dest_params p = {
        .guest =
            {
                .domid = h->args.domid,
                .store_evtchn = h->args.store_evtchn,
                .store_domid = h->args.store_domid,
                .console_evtchn = h->args.console_evtchn,
                .console_domid = h->args.console_domid,
                .log = &h->log,
            },
        .cancel = &h->cancel,
        .toolstack = &toolstack,
        .report = &report,
    };
    struct dest *left; /* on success, as saved */
    const int rc = open_in(h, &p.in, e);

    return rc ? rc : dest_run(&p, &h->result, &left, e);
}

/* The lock of the domain: the supervisor's, handed over, or taken here in drop-in use. */
static int hold_lock(struct helper *h, struct err *e)
{
    if (h->native.link_sock >= 0) {
        h->lock = domain_lock_adopt(h->native.lock_fd);
        return 0;
    }
    return h->args.save ? domain_lock_take(&h->lock, h->args.domid, e) : 0;
}

/* Under the watch: the work itself. */
static int work(struct helper *h, enum watch_cause *cause, struct err *e)
{
    const struct watch_tuned tuned = {tune, h};
    struct err late = ERR_INIT;
    struct watch watch;
    int rc = watch_start(&watch, &h->cancel, h->native.link_sock, h->toolstack.in_fd, &tuned, e);

    if (rc)
        return rc;
    h->events.cancel = &h->cancel;
    h->events.noted = &watch.noted;
    h->watch = &watch;
    rc = h->args.save ? save_domain(h, e) : restore_domain(h, e);

    const bool handed_over = !rc && native_has_lanes(&h->native);

    /* The guest stands still, and the watch takes its time to end. What that hears from now on
     * makes no failure of this. */
    if (handed_over)
        tell_done(h);
    *cause = watch_stop(&watch, handed_over && h->told_done ? &late : e);
    return err_is_set(e) ? -e->code : rc;
}

static void tell_supervisor(struct helper *h, const struct err *outcome)
{
    struct err ignored = ERR_INIT;

    if (err_is_set(outcome))
        link_send_failed(h->native.link_sock, outcome, &ignored);
    else if (!h->told_done)
        tell_done(h);
}

static int tell_libxl(struct helper *h, const struct err *outcome, struct err *e)
{
    if (err_is_set(outcome))
        return toolstack_complete(&h->toolstack, -1, outcome->code, e);
    if (!h->args.save && toolstack_restore_results(&h->toolstack, h->result.rings.store_gfn,
                             h->result.rings.console_gfn, e))
        return -e->code;
    return toolstack_complete(&h->toolstack, 0, 0, e);
}

/* The end of a process takes time, and so does what libxl does then: while the guest stands still
 * the processor has better things to do. So where nobody needs that for the hand-over it comes when
 * the supervisor lets go of the link, or has more to say. */
static void await_leave(struct helper *h, enum watch_cause cause)
{
    const bool is_needed = h->args.save ? !h->native.job.suspend_limit_ns : !h->built;

    if (!native_has_lanes(&h->native) || !h->told_done || is_needed)
        return;
    h->stayed = true;
    domain_lock_release(&h->lock); /* the supervisor's from now on */
    if (cause == WATCH_NONE)
        io_wait(h->native.link_sock, POLLIN, NULL, deadline_in(LEAVE_NS));
}

/* Say how it went, to the supervisor and to libxl. Fails only when libxl is gone. */
static int tell_outcome(
    struct helper *h, enum watch_cause cause, struct err *outcome, struct err *e)
{
    if (h->native.link_sock >= 0)
        tell_supervisor(h, outcome);
    else if (err_is_set(outcome))
        log_error(&h->log, "%s", outcome->text);
    await_leave(h, cause);
    return h->built ? 0 : tell_libxl(h, outcome, e);
}

/* libxl could not save a dead one, and would find that out in the pause. One that is only busy may
 * answer libxl, on the other socket. */
static int hold_device_model(struct helper *h, struct err *e)
{
    struct err busy = ERR_INIT;
    const int rc = device_model_open(&h->device_model, h->args.domid, &busy);

    if (!rc || rc == -ENOENT)
        return 0;
    if (rc == -ECONNREFUSED) {
        busy.class = ERR_REFUSED;
        return err_take(e, &busy);
    }
    log_warn(&h->log, "%s", busy.text);
    return 0;
}

/* Who the guest is, so that a domid used again is never mistaken for it. */
static int remember_guest(struct helper *h, struct err *e)
{
    int rc = xen_open(&h->xen, &h->log, e);

    if (rc)
        return rc;
    h->xen_is_open = true;
    rc = rescue_read_uuid(&h->xen, h->args.domid, h->uuid, e);
    return rc || !h->args.save ? rc : hold_device_model(h, e);
}

/* The last that is done with all privileges. */
static int open_files(struct helper *h, struct err *e)
{
    int rc = remember_guest(h, e);

    if (!rc)
        rc = hold_lock(h, e);
    if (!rc && h->args.save)
        rc = drain_open(&h->drain, h->args.domid, &h->log, e);
    return rc;
}

static int find_guest(struct helper *h, enum handoff_event *found, struct err *e)
{
    static const enum handoff_event events[] = {
        [RESCUE_GONE] = HANDOFF_FOUND_NONE,
        [RESCUE_RUNNING] = HANDOFF_FOUND_RUNNING,
        [RESCUE_SUSPENDED] = HANDOFF_FOUND_STOPPED,
        [RESCUE_SHUT_DOWN] = HANDOFF_FOUND_RUNNING,
    };
    enum rescue_status status;
    const int rc = rescue_query(&h->xen, h->args.domid, h->uuid, &status, e);

    if (!rc)
        *found = events[status];
    return rc;
}

/* libxl stops it when the vCPUs have stopped, and would let it run on before they do. */
static int continue_device_model(struct helper *h, struct err *e)
{
    struct device_model *m = &h->device_model;
    int rc = 0;

    if (m->sock < 0)
        rc = device_model_open(m, h->args.domid, e);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    if (h->events.logging)
        rc = device_model_log_off(m, e);
    return device_model_continue(m, e) ? -e->code : rc;
}

/* GO comes after the supervisor was told "done": the guest was not given away. What the journal has
 * to forget is left to --recover. */
static int bring_guest_back(struct helper *h, struct err *e)
{
    struct err untold = ERR_INIT;
    enum handoff_event found;
    int rc = find_guest(h, &found, e);

    if (rc || !(handoff_next(HANDOFF_SOURCE, HANDOFF_LIVE, found).actions & HANDOFF_RESUME))
        return rc;
    if (h->events.logging)
        rc = rescue_log_dirty_off(&h->xen, h->args.domid, e);
    if (rescue_stop_noting(&h->xen, h->args.domid, e))
        rc = -e->code;
    /* A guest that stands still is helped even if that went wrong. */
    if (found == HANDOFF_FOUND_RUNNING && domain_lock_is_asked(&h->lock) &&
        (suspend_end(h->args.domid, SUSPEND_ACKNOWLEDGED_NS, e) || find_guest(h, &found, e)))
        rc = -e->code;
    if (continue_device_model(h, e))
        rc = -e->code;
    if (found == HANDOFF_FOUND_STOPPED && rescue_resume(&h->xen, h->args.domid, &untold, e))
        rc = -e->code;
    if (err_is_set(&untold))
        log_warn(&h->log, "%s", untold.text);
    if (!rc)
        domain_lock_note_asked(&h->lock, false);
    return rc;
}

/* Nobody is left to tell: put the guest right, and have the rest put right. A libxl that was only
 * late, and lives, must not take what was done here for a success: this process never ends well. */
static int clean_after_toolstack(struct helper *h)
{
    struct err e = ERR_INIT;

    h->log = stderr_log();
    if (h->args.save && h->xen_is_open && !h->told_done && bring_guest_back(h, &e))
        log_error(&h->log, "domain %u: %s", h->args.domid, e.text);
    device_model_close(&h->device_model);
    domain_lock_release(&h->lock);
    if (!h->stayed)
        keeper_ask_recovery(&h->keeper);
    return EXIT_TOOLSTACK_GONE;
}

int main(int argc, char **argv)
{
    static struct helper helper = {
        .native = {.link_sock = -1, .lock_fd = -1, .tuned_lock = PTHREAD_MUTEX_INITIALIZER},
        .shim = {.release_fd = -1},
        .keeper = {.sock = -1},
        .lock = {.fd = -1},
        .device_model = {.sock = -1}};
    struct helper *h = &helper;
    struct err e = ERR_INIT, telling = ERR_INIT;
    enum watch_cause cause = WATCH_NONE;

    const char *link_path = getenv(LINK_ENV);

    wipe_freed_memory();
    signal(SIGPIPE, SIG_IGN);
    if (parse_args(argc, argv, &h->args, &e) ||
        (link_path && !h->args.save && shim_start(&h->shim, &e)) ||
        (link_path && keeper_start(&h->keeper, &e)) ||
        toolstack_open(&h->toolstack, h->args.callbacks, &e) || cancel_init(&h->cancel, &e)) {
        h->log = stderr_log();
        log_error(&h->log, "%s", e.text);
        return EXIT_BAD_START;
    }
    h->log = (struct log){LOG_INFO, toolstack_log, &h->toolstack};
    h->events.log = &h->log;

    if (link_path)
        native_open(&h->native, link_path, h->args.save, &h->cancel, &h->log, &e);
    if (!err_is_set(&e) && !native_has_lanes(&h->native) &&
        io_set_nonblocking(h->args.stream_fd, true))
        err_sys(&e, ERR_LOCAL, errno, "the stream descriptor %d", h->args.stream_fd);
    /* In drop-in use libxl alone knows whether anybody wants them. */
    if (!link_path || h->native.job.verbose)
        h->log.max = LOG_DEBUG;
    h->events.link_sock = h->native.link_sock;
    if (!err_is_set(&e) && !open_files(h, &e)) {
        privileges_drop(h->args.domid, &h->log);
        work(h, &cause, &e);
    }
    if (err_is_set(&e))
        native_close_channels(&h->native);
    if ((cause == WATCH_TOOLSTACK_GONE && err_is_set(&e)) || tell_outcome(h, cause, &e, &telling))
        return clean_after_toolstack(h);
    /* The guest stands still, and libxl goes on when this process has ended: memory, mappings and
     * connections end with it. */
    if (!err_is_set(&e))
        _exit(0);
    device_model_close(&h->device_model);
    domain_lock_release(&h->lock);
    suspend_close(&h->suspend);
    drain_close(h->drain);
    if (h->xen_is_open)
        xen_close(&h->xen);
    return 0;
}
