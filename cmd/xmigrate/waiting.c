/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/waiting.h"

#include "base/deadline.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* One that cannot be had is no reason not to move. */
void waiting_open_admin(struct waiting *w)
{
    struct negotiation *a = w->a;
    const struct options *o = a->options;
    struct admin_status first = {
        .role = LINK_SOURCE,
        .domid = a->domain.domid,
        .phase = "beginning",
        .tune = {o->bandwidth_bits_per_s, o->limits.max_downtime_ns, o->limits.on_stall},
    };
    struct err e = ERR_INIT;

    if (a->admin)
        return;
    snprintf(first.domain, sizeof(first.domain), "%s", a->domain.name);
    snprintf(first.uuid, sizeof(first.uuid), "%s", a->domain.uuid);
    snprintf(first.peer, sizeof(first.peer), "%s", a->where[0] ? a->where : o->address.host);
    if (admin_open(&a->admin, &first, &o->limits, &a->cancel, &e))
        log_warn(&a->log, "--status, --cancel and --set will not see this: %s", e.text);
}

static void tell(struct waiting *w, json_t *body)
{
    waiting_open_admin(w);
    admin_note_phase(w->a->admin, "waiting");
    event_tell(w->events, body);
}

/* The other host's other guests may take long, and nobody here waits for that. */
void waiting_at_peer(void *arg, const struct message_wait *wait)
{
    struct waiting *w = arg;

    turn_end(&w->turn);
    tell(w,
        json_pack("{s:s, s:s, s:s, s:i, s:i}", "event", "waiting", "side", "destination", "host",
            w->a->options->address.host, "ahead", (int)wait->ahead, "at_once", (int)wait->at_once));
    view_say(w->view, "waiting: %u guests come to %s before \"%s\", and %u at once may",
        wait->ahead, w->a->where, w->a->domain.name, wait->at_once);
}

static void tell_turn(struct waiting *w, unsigned at_once)
{
    tell(w, json_pack("{s:s, s:s, s:s, s:i}", "event", "waiting", "side", "source", "host",
                w->a->options->address.host, "at_once", (int)at_once));
    view_say(w->view, "waiting: guests are being moved from here before \"%s\"", w->a->domain.name);
}

/* One with a bandwidth of its own leaves the others theirs. */
int waiting_for_turn(void *arg, struct err *e)
{
    struct waiting *w = arg;
    struct negotiation *a = w->a;
    const int64_t deadline_ns = deadline_in(MESSAGE_WAIT_LIMIT_NS);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned at_once = turns_at_once(cores > 0 ? (unsigned)cores : 1, a->options->lanes);
    int rc = a->options->bandwidth_bits_per_s ? 1 : turn_try_move(&w->turn, at_once, e);

    if (rc)
        return rc < 0 ? rc : 0;
    tell_turn(w, at_once);
    while (!rc && !deadline_passed(deadline_ns)) {
        struct pollfd cancelled = {.fd = a->cancel.event_fd, .events = POLLIN};

        poll(&cancelled, 1, deadline_poll_ms(deadline_in(TURN_MOVE_AGAIN_NS)));
        if (cancel_is_fired(&a->cancel))
            return err_set(e, ERR_CANCELLED, ECANCELED, "%s", admin_why_stopped(a->admin));
        rc = turn_try_move(&w->turn, at_once, e);
    }
    if (!rc)
        turn_end(&w->turn);
    return rc < 0 ? rc : 1;
}
