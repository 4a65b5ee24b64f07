/* SPDX-License-Identifier: MIT */
#include "base/deadline.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/history.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/receive_private.h"
#include "engine/xen/rescue.h"

#include <errno.h>

static int check_built(struct receive *r, struct err *e)
{
    struct xl_domain d;
    int rc = xl_look_at(&r->xl, r->build.domid, r->in.offer.uuid, &d, e);

    if (!rc && (d.dying || d.shut_down || !d.paused))
        rc = err_set(
            e, ERR_LOCAL, EIO, "the domain that libxl built is not paused as it should be");
    return rc;
}

int receive_await_go(struct receive *r, struct err *e)
{
    const struct message_ready ready = {
        .domid = r->build.domid,
        .finish_ns = now_ns() - r->build.helper_done_ns,
    };
    const void *body;
    size_t len_bytes;
    int rc = check_built(r, e);

    /* libxl is through when it has read its END record, which may be before ours comes. */
    if (!rc && !r->build.stream_ended)
        rc = incoming_expect(
            &r->in, CONTROL_LIBXL_END, &body, &len_bytes, deadline_in(r->o->silent_ns), e);
    if (!rc)
        rc = message_send_ready(&r->in.control, &ready, e);
    if (!rc)
        rc = incoming_expect(&r->in, CONTROL_GO, &body, &len_bytes, deadline_in(r->o->start_ns), e);
    return rc;
}

/* libxl did not come back from the unpause, and may still make it. FAILED lets the guest run on at
 * the source: it must not have run here, and never may. Returns whether it runs. */
static bool hold_guest(struct receive *r)
{
    struct err e = ERR_INIT;
    bool has_run = false;
    struct xen x;
    int rc = xen_open(&x, &r->in.log, &e);

    if (!rc) {
        rc = rescue_hold(&x, r->build.domid, &has_run, &e);
        xen_close(&x);
    }
    r->may_run = rc != 0;
    if (rc)
        log_error(&r->in.log, "%s", e.text);
    return !rc && has_run;
}

static int start_guest(struct receive *r, struct err *e)
{
    const int64_t deadline_ns = deadline_in(XL_SHORT_NS);
    int rc;

    r->state.now.phase = STATE_TAKEN;
    rc = state_save(&r->state, e);
    if (!rc)
        rc = xl_rename(&r->xl, r->build.domid, r->admission.name, r->in.offer.name, deadline_ns, e);
    if (rc)
        return rc;
    rc = xl_unpause(&r->xl, r->build.domid, deadline_ns, e);
    if (rc == -ETIMEDOUT && hold_guest(r)) {
        *e = (struct err)ERR_INIT;
        return 0;
    }
    return rc;
}

/* After GO. */
int receive_hand_over(struct receive *r, int64_t ready_took_ns)
{
    const int64_t go_ns = now_ns();
    struct err e = ERR_INIT;

    if (start_guest(r, &e))
        return receive_give_up(r, &e);

    const struct message_started started = {.domid = r->build.domid, .start_ns = now_ns() - go_ns};

    log_info(&r->in.log, "runs here as domain %u, from %s", r->build.domid, r->in.who);
    if (message_send_started(&r->in.control, &started, &e)) {
        log_error(&r->in.log,
            "runs here, but %s could not be told: %s. Its copy there is suspended "
            "and must be destroyed there (xl list, xl destroy)",
            r->in.who, e.text);
        state_keep(&r->state);
    } else {
        state_remove(&r->state);
        incoming_await_goodbye(&r->in);
    }
    e = (struct err)ERR_INIT;
    if (history_record(HISTORY_FINISH, r->admission.devices,
            r->build.engine_finish_ns + ready_took_ns + started.start_ns, &e))
        log_debug(&r->in.log, "%s", e.text);
    return EXIT_DONE;
}
