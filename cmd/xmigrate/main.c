/* SPDX-License-Identifier: MIT */
/*
 * xmigrate: moves running Xen domains between hosts, receives them, and keeps the identities that
 * hosts know each other by. See docs/design.md; `xmigrate --help` for people.
 */
#include "cmd/xmigrate/announce.h"
#include "cmd/xmigrate/estimate.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/check.h"
#include "cmd/xmigrate/every.h"
#include "cmd/xmigrate/ui/help.h"
#include "cmd/xmigrate/inspect.h"
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
        return print("xmigrate " XMIGRATE_VERSION "\n", e);
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

static int run_listener(const struct options *o, const struct log *log)
{
    static const struct listen_work work = {
        .recover = recover_main, .resolve = resolve_at_start, .serve = receive_main};
    const struct listen_options l = {
        .address = o->address.host[0] ? o->address.host : NULL,
        .port = o->address.port,
        .config_dir = o->config_dir,
        .insecure = o->insecure,
        .as_root = o->as_root,
        .silent_ns = o->silent_ns,
        .start_ns = o->start_ns ?: SLOW_START_NS,
        .announce = !o->no_announce,
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
        case MODE_LISTEN:
            return run_listener(&o, &log);
        case MODE_RECOVER:
            return recover_main(&log);
        case MODE_RESOLVE:
            return resolve_main(&o, &log);
        case MODE_RESUME:
            return resume_main(o.domain, o.force, &log);
        case MODE_DISMISS:
            return dismiss_main(o.domain, &log);
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
