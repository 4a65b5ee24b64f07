#include "cmd/helper/events.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"
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

static void report_progress(void *arg, const struct progress_report *r)
{
    const struct events *ev = arg;

    if (ev->link_sock < 0)
        return;
    send_event(
        ev, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "event", "progress", "round",
                (json_int_t)r->round, "round_pages", (json_int_t)r->round_pages, "round_done_pages",
                (json_int_t)r->round_done_pages, "round_sent_pages",
                (json_int_t)r->round_sent_pages, "wire_bytes", (json_int_t)r->wire_bytes,
                "send_pages_per_s", r->send_pages_per_s, "dirty_pages_per_s", r->dirty_pages_per_s,
                "predicted_downtime_ns", (json_int_t)r->predicted_downtime_ns));
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
    send_event(ev,
        json_pack("{s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:f, s:I, "
                  "s:I}",
            "event", "round", "round", (json_int_t)r->round, "last", r->last, "pages",
            (json_int_t)r->pages, "data_pages", (json_int_t)r->data_pages, "zero_pages",
            (json_int_t)r->zero_pages, "skipped_pages", (json_int_t)r->skipped_pages, "kept_pages",
            (json_int_t)r->kept_pages, "deferred_pages", (json_int_t)r->deferred_pages,
            "wire_bytes", (json_int_t)r->wire_bytes, "duration_ns", (json_int_t)r->duration_ns,
            "send_pages_per_s", r->send_pages_per_s, "dirty_pages", (json_int_t)r->dirty_pages,
            "dirty_pages_per_s", r->dirty_pages_per_s, "clean_ns", (json_int_t)r->clean_ns,
            "predicted_downtime_ns", (json_int_t)r->predicted_downtime_ns));
}

static json_t *describe_prediction(const struct prediction *p)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "downtime_ns", (json_int_t)p->whole_ns,
        "low_ns", (json_int_t)p->low_ns, "high_ns", (json_int_t)p->high_ns, "suspend_ns",
        (json_int_t)p->suspend_ns, "last_round_ns", (json_int_t)prediction_last_round_ns(p),
        "finish_ns", (json_int_t)(p->state_ns + p->receiver_ns));
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

static json_t *describe_lane(const struct lane_profile *p)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "batches",
        (json_int_t)p->batches, "wire_bytes", (json_int_t)p->wire_bytes, "allocations",
        (json_int_t)p->allocations, "types_cpu_ns", (json_int_t)p->types_cpu_ns, "map_cpu_ns",
        (json_int_t)p->map_cpu_ns, "canonicalise_cpu_ns", (json_int_t)p->canonicalise_cpu_ns,
        "zero_scan_cpu_ns", (json_int_t)p->zero_scan_cpu_ns, "encode_cpu_ns",
        (json_int_t)p->encode_cpu_ns, "encrypt_cpu_ns", (json_int_t)p->encrypt_cpu_ns,
        "send_cpu_ns", (json_int_t)p->send_cpu_ns, "cpu_ns", (json_int_t)p->cpu_ns, "wait_ns",
        (json_int_t)p->wait_ns, "paced_ns", (json_int_t)p->paced_ns);
}

json_t *describe_total(const struct total_report *t)
{
    json_t *lanes = json_array();

    for (unsigned i = 0; i < t->lane_count; i++)
        json_array_append_new(lanes, describe_lane(&t->lanes[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:{s:I, s:I, s:I, s:I}, s:o}", "rounds",
        (json_int_t)t->rounds, "data_pages", (json_int_t)t->data_pages, "zero_pages",
        (json_int_t)t->zero_pages, "wire_bytes", (json_int_t)t->wire_bytes, "total_ns",
        (json_int_t)t->total_ns, "predicted", describe_prediction(&t->predicted), "downtime",
        "suspend_ns", (json_int_t)t->downtime.suspend_ns, "last_round_ns",
        (json_int_t)t->downtime.last_round_ns, "state_ns", (json_int_t)t->downtime.state_ns,
        "receiver_ns", (json_int_t)t->downtime.receiver_ns, "lanes", lanes);
}

json_t *describe_dest_result(const struct dest_result *r)
{
    return json_pack("{s:I, s:I, s:I}", "populated_pages", (json_int_t)r->populated_pages,
        "wire_bytes", (json_int_t)r->wire_bytes, "finish_ns", (json_int_t)r->finish_ns);
}
