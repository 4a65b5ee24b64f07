/* SPDX-License-Identifier: MIT */
/*
 * xmigrate: moves running Xen domains between hosts, receives them, and keeps the identities that
 * hosts know each other by. See docs/design.md; `xmigrate --help` for people.
 */
#include "cmd/xmigrate/announce.h"
#include "cmd/xmigrate/estimate.h"
#include "cmd/exit_codes.h"
#include "cmd/version.h"
#include "cmd/xmigrate/check.h"
#include "cmd/xmigrate/cleanup.h"
#include "cmd/xmigrate/convert.h"
#include "cmd/xmigrate/every.h"
#include "base/deadline.h"
#include "cmd/xmigrate/ui/events.h"
#include "cmd/xmigrate/ui/help.h"
#include "cmd/xmigrate/inspect.h"
#include "cmd/xmigrate/metrics.h"
#include "cmd/xmigrate/operate.h"
#include "cmd/xmigrate/pair.h"
#include "cmd/xmigrate/session/listener.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "cmd/xmigrate/ui/options.h"
#include "cmd/xmigrate/handoff/recover.h"
#include "cmd/xmigrate/handoff/resume.h"
#include "cmd/xmigrate/handoff/dismiss.h"
#include "cmd/xmigrate/resolve.h"
#include "cmd/xmigrate/receive.h"
#include "cmd/xmigrate/restore.h"
#include "cmd/xmigrate/save.h"
#include "cmd/xmigrate/send.h"
#include "crypto/identity.h"
#include "crypto/tls.h"
#include "crypto/trust.h"
#include "crypto/wipe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int print(const char *text, struct err *e)
{
    if (fputs(text, stdout) == EOF || fflush(stdout))
        return err_sys(e, ERR_LOCAL, errno, "cannot write to standard output");
    return 0;
}

static int print_version(struct err *e)
{
    char text[256];

    snprintf(text, sizeof(text), "xmigrate %s\nXen libraries %s, OpenSSL %s\n", xmigrate_version,
        xmigrate_xen_version, tls_library_version());
    return print(text, e);
}

static int print_identity(const struct options *o, struct err *e)
{
    struct identity id;
    char line[FINGERPRINT_BYTES + 1];
    int rc = identity_open(&id, o->config_dir, e);

    if (rc)
        return rc;
    snprintf(line, sizeof(line), "%s\n", id.fingerprint);
    identity_close(&id);
    return print(line, e);
}

/* The short ones, which only say what went wrong. */
static int run_short(const struct options *o, struct err *e)
{
    switch (o->mode) {
    case MODE_HELP:
        return print(help_text, e);
    case MODE_VERSION:
        return print_version(e);
    case MODE_IDENTITY:
        return print_identity(o, e);
    case MODE_TRUST:
        return trust_add(o->config_dir, o->peer, o->peer_name, o->peer_rights, e);
    case MODE_UNTRUST:
        return trust_remove(o->config_dir, o->peer, e);
    default:
        return err_set(e, ERR_INTERNAL, EINVAL, "mode %d is not known", (int)o->mode);
    }
}

static void tell_settled(
    void *arg, const struct journal_record *before, enum handoff_state now, const struct err *why)
{
    const struct event_stream *events = arg;
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s*}", "event", "recovered",
        "direction", before->role == HANDOFF_SOURCE ? "out" : "in", "domain", before->name, "uuid",
        before->uuid, "host", before->peer, "was", handoff_state_name(before->state), "now",
        handoff_state_name(now), "text", why ? why->text : NULL);

    event_tell(events, body);
}

static int run_recover(const struct options *o, const struct log *log)
{
    struct event_stream events = {.fd = STDOUT_FILENO, .start_ns = now_ns()};
    const struct recover_report report = {tell_settled, &events};

    return o->json ? recover_reporting(&report, log) : recover_main(log);
}

static void tell_port(const struct listen_options *o, uint16_t port)
{
    const struct event_stream events = {.fd = STDOUT_FILENO, .start_ns = now_ns()};
    json_t *body;

    if (!o->json) {
        printf("listening on port %u\n", port);
        fflush(stdout);
        return;
    }
    body = json_pack("{s:s, s:i}", "event", "listening", "port", (int)port);
    event_tell(&events, body);
}

static int run_listener(const struct options *o, const struct log *log)
{
    static const struct listen_work work = {.listening = tell_port,
        .recover = recover_briefly,
        .resolve = resolve_at_start,
        .serve = receive_main};
    const struct listen_options l = {
        .address = o->address.host[0] ? o->address.host : NULL,
        .port = o->address.port,
        .config_dir = o->config_dir,
        .insecure = o->insecure,
        .as_root = o->as_root,
        .silent_ns = o->silent_ns,
        .start_ns = o->start_ns ?: SLOW_START_NS,
        .max_incoming = o->max_incoming,
        .announce = !o->no_announce,
        .early_disks = o->early_disks,
        .json = o->json,
    };

    return listen_main(&l, &work, log);
}

int main(int argc, char **argv)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct log log = {LOG_INFO, log_to_stderr, (void *)"xmigrate"};
    struct err e = ERR_INIT;
    struct options o;

    wipe_freed_memory();
    signal(SIGPIPE, SIG_IGN);
    if (!options_parse(&o, argc, argv, cores > 0 ? (unsigned)cores : 1, &e)) {
        log.max = o.log_level;
        switch (o.mode) {
        case MODE_LIVE:
        case MODE_OFFLINE:
            return send_main(&o);
        case MODE_ESTIMATE:
            return estimate_main(&o);
        case MODE_CHECKPOINT:
            return o.every_ns ? every_main(&o) : save_main(&o);
        case MODE_SAVE:
            return save_main(&o);
        case MODE_RESTORE:
            return restore_main(&o);
        case MODE_CHECK:
            return check_main(&o);
        case MODE_INSPECT:
            return inspect_main(&o, &log);
        case MODE_EXPORT:
        case MODE_FLATTEN:
            return convert_main(&o, &log);
        case MODE_LISTEN:
            return run_listener(&o, &log);
        case MODE_RECOVER:
            return run_recover(&o, &log);
        case MODE_RESOLVE:
            return resolve_main(&o, &log);
        case MODE_RESUME:
            return resume_main(o.domain, o.force, &log);
        case MODE_DISMISS:
            return dismiss_main(o.domain, &log);
        case MODE_CLEANUP:
            return cleanup_main(&o, &log);
        case MODE_STATUS:
            return status_main(&o, &log);
        case MODE_CANCEL:
            return cancel_main(&o, &log);
        case MODE_SET:
            return set_main(&o, &log);
        case MODE_METRICS:
            return metrics_main(o.file, &log);
        case MODE_PAIR:
            return pair_main(&o, &log);
        case MODE_MONITOR:
            return monitor_main(o.monitor_domid, o.monitor_uuid);
        case MODE_ANNOUNCE:
            return announce_main(o.announce_domid, o.announce_vifs, o.announce_count, &log);
        default:
            if (!run_short(&o, &e))
                return EXIT_DONE;
        }
    }
    log_error(&log, "%s", e.text);
    return e.class == ERR_USAGE ? EXIT_USAGE : EXIT_REFUSED;
}
