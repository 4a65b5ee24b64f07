/* SPDX-License-Identifier: MIT */
#include "cmd/helper/events.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"
#include "cmd/event_fields.h"
#include "cmd/link.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>

/* For a supervisor to write its journal. */
#define NOTED_NS (10 * NS_PER_S)

/* A supervisor that cannot be told is noticed by the watch. */
static void send_event(const struct events *ev, json_t *body)
{
    struct err e = ERR_INIT;

    if (link_send_event(ev->link_sock, body, &e))
        log_debug(ev->log, "%s", e.text);
}

/* Were both killed before it is on disk, nobody would switch it off. */
static int report_logging(void *arg, struct err *e)
{
    struct events *ev = arg;

    if (ev->link_sock >= 0) {
        int rc = link_send_logging(ev->link_sock, e);

        if (!rc)
            rc = io_wait(ev->noted->event_fd, POLLIN, ev->cancel, deadline_in(NOTED_NS));
        if (rc == -ETIMEDOUT)
            err_set(e, ERR_LOCAL, ETIMEDOUT, "the supervising xmigrate does not answer");
        else if (rc && !err_is_set(e))
            err_set(e, ERR_CANCELLED, ECANCELED, "cancelled");
        if (rc)
            return rc;
    }
    ev->logging = true;
    return 0;
}

static json_t *pack_event(const char *name, const struct field *fields, const void *from)
{
    json_t *o = json_pack("{s:s}", "event", name);

    if (o && fields_write(fields, from, o))
        return o;
    json_decref(o);
    return NULL;
}

static void report_progress(void *arg, const struct progress_report *r)
{
    const struct events *ev = arg;

    if (ev->link_sock >= 0)
        send_event(ev, pack_event("progress", progress_fields, r));
}

static void report_round(void *arg, const struct round_report *r)
{
    const struct events *ev = arg;
    char took[UNITS_TEXT_BYTES];

    if (ev->link_sock < 0) {
        log_info(ev->log,
            "round %u%s: %" PRIu64 " pages with data, %" PRIu64 " zero, in %s; %" PRIu64 " dirty",
            r->round, r->last ? " (last)" : "", r->data_pages, r->zero_pages,
            format_duration(r->duration_ns, took), r->dirty_pages);
        return;
    }
    send_event(ev, pack_event("round", round_fields, r));
}

static json_t *describe_prediction(const struct prediction *p)
{
    const struct prediction folded = fold_prediction(p);

    return fields_pack(prediction_fields, &folded);
}

static void report_decision(void *arg, const struct decision_report *r)
{
    const struct events *ev = arg;

    if (ev->link_sock < 0) {
        log_info(ev->log, "%s", r->words);
        return;
    }
    send_event(ev, json_pack("{s:s, s:I, s:s, s:s, s:s, s:o, s:o}", "event", "decision", "round",
                       (json_int_t)r->round, "action", action_name(r->action), "reason",
                       reason_name(r->reason), "text", r->words, "now",
                       describe_prediction(&r->now), "next", describe_prediction(&r->next)));
}

static void report_suspending(void *arg, const char *reason, int64_t predicted_downtime_ns)
{
    const struct events *ev = arg;

    if (ev->link_sock < 0) {
        log_info(ev->log, "suspending the guest (%s)", reason);
        return;
    }
    send_event(ev, json_pack("{s:s, s:s, s:I}", "event", "suspending", "reason", reason,
                       "predicted_downtime_ns", (json_int_t)predicted_downtime_ns));
}

static void report_suspended(void *arg)
{
    const struct events *ev = arg;

    if (ev->link_sock >= 0)
        send_event(ev, json_pack("{s:s}", "event", "suspended"));
}

void events_report_written(void *arg, uint64_t pages)
{
    const struct events *ev = arg;

    if (ev->link_sock >= 0)
        send_event(ev, json_pack("{s:s, s:I}", "event", "written", "pages", (json_int_t)pages));
}

static void report_received(void *arg, uint64_t populated_pages, uint64_t wire_bytes)
{
    const struct events *ev = arg;

    if (ev->link_sock >= 0)
        send_event(ev, json_pack("{s:s, s:I, s:I}", "event", "received", "populated_pages",
                           (json_int_t)populated_pages, "wire_bytes", (json_int_t)wire_bytes));
}

struct report_ops events_source_ops(struct events *ev)
{
    return (struct report_ops){
        .logging = report_logging,
        .progress = report_progress,
        .round = report_round,
        .decision = report_decision,
        .suspending = report_suspending,
        .suspended = report_suspended,
        .arg = ev,
    };
}

struct dest_report_ops events_dest_ops(struct events *ev)
{
    return (struct dest_report_ops){.progress = report_received, .arg = ev};
}

json_t *describe_total(const struct total_report *t)
{
    struct total_report folded = *t;
    json_t *lanes = json_array(), *o;

    folded.predicted = fold_prediction(&t->predicted);
    o = fields_pack(total_fields, &folded);
    for (unsigned i = 0; i < t->lane_count; i++)
        json_array_append_new(lanes, fields_pack(lane_fields, &t->lanes[i]));
    json_object_set_new(o, "lanes", lanes);
    return o;
}

json_t *describe_dest_result(const struct dest_result *r)
{
    return fields_pack(dest_result_fields, r);
}
