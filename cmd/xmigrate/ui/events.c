/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/events.h"

#include "base/deadline.h"
#include "cmd/event_fields.h"
#include "cmd/version.h"
#include "cmd/xmigrate/ui/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { TIME_BYTES = 40 };

static const struct field done_downtime_fields[] = {
    FIELD_COUNT("suspend_ns", struct downtime_parts, engine.suspend_ns),
    FIELD_COUNT("clean_ns", struct downtime_parts, engine.clean_ns),
    FIELD_COUNT("last_round_ns", struct downtime_parts, engine.last_round_ns),
    FIELD_COUNT("state_ns", struct downtime_parts, engine.state_ns),
    FIELD_COUNT("receiver_ns", struct downtime_parts, engine.receiver_ns),
    FIELD_COUNT("disks_ns", struct downtime_parts, engine.disks_ns),
    FIELD_COUNT("libxl_ns", struct downtime_parts, libxl_ns),
    FIELD_COUNT("hand_off_ns", struct downtime_parts, hand_off_ns),
    FIELD_COUNT("journal_ns", struct downtime_parts, journal_ns),
    FIELDS_END,
};

/* Their sum is predicted_downtime_ns. */
static const struct field done_predicted_fields[] = {
    FIELD_COUNT("low_ns", struct prediction, low_ns),
    FIELD_COUNT("high_ns", struct prediction, high_ns),
    FIELD_COUNT("suspend_ns", struct prediction, suspend_ns),
    FIELD_COUNT("last_round_ns", struct prediction, pages_ns),
    FIELD_COUNT("finish_ns", struct prediction, receiver_ns),
    FIELD_COUNT("network_ns", struct prediction, network_ns),
    FIELDS_END,
};

static const struct field done_fields[] = {
    FIELD_COUNT("total_ns", struct summary, whole_ns),
    FIELD_COUNT("downtime_ns", struct summary, downtime.whole_ns),
    FIELD_COUNT("predicted_downtime_ns", struct summary, total.predicted.whole_ns),
    FIELD("downtime", FIELD_PARTS, struct summary, downtime, .parts = done_downtime_fields),
    FIELD(
        "predicted", FIELD_PARTS, struct summary, total.predicted, .parts = done_predicted_fields),
    FIELD_COUNT32("rounds", struct summary, total.rounds),
    FIELD_COUNT("data_pages", struct summary, total.data_pages),
    FIELD_COUNT("zero_pages", struct summary, total.zero_pages),
    FIELD_COUNT("delta_pages", struct summary, total.delta_pages),
    FIELD_COUNT("delta_saved_bytes", struct summary, total.delta_saved_bytes),
    FIELD_COUNT("wire_bytes", struct summary, total.wire_bytes),
    FIELD_COUNT("aux_entries", struct summary, total.aux_entries),
    FIELD_COUNT("aux_bytes", struct summary, total.aux_bytes),
    FIELD("encryption", FIELD_LINE, struct summary, total.encryption),
    FIELDS_END,
};

bool event_read_progress(const json_t *body, struct progress_report *r)
{
    return fields_read(progress_fields, body, r);
}

bool event_read_round(const json_t *body, struct round_report *r)
{
    return fields_read(round_fields, body, r);
}

const char *event_read_decision(const json_t *body)
{
    return json_string_value(json_object_get(body, "text"));
}

bool event_read_total(const json_t *body, struct total_report *t)
{
    return fields_read(total_fields, body, t);
}

const char *event_name(const json_t *body)
{
    return json_string_value(json_object_get(body, "event")) ?: "";
}

json_t *event_done(const struct summary *s)
{
    json_t *o = json_pack("{s:s}", "event", "done");

    if (o && fields_write(done_fields, s, o) &&
        (!s->lanes || !json_object_set(o, "lanes", s->lanes)))
        return o;
    json_decref(o);
    return NULL;
}

json_t *event_failed(const struct err *why, int exit_code, const char *guest)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "event", "failed", "class",
        err_class_name(why->class), "code", err_code_name(why->code), "side",
        err_side_name(why->side), "text", why->text, "exit_code", exit_code, "guest", guest);
}

/* The wall's, in UTC: what other hosts' logs are compared with. */
static void format_time(char text[static TIME_BYTES])
{
    struct timespec now;
    struct tm utc;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &now);
    len = strftime(text, TIME_BYTES, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &utc));
    snprintf(text + len, TIME_BYTES - len, ".%03dZ", (int)(now.tv_nsec / NS_PER_MS));
}

static bool add_common(const struct event_stream *out, json_t *body)
{
    char time[TIME_BYTES];

    format_time(time);
    return !json_object_set_new(body, "elapsed_ns", json_integer(now_ns() - out->start_ns)) &&
           !json_object_set_new(body, "time", json_string(time)) &&
           !json_object_set_new(body, "version", json_string(xmigrate_version)) &&
           !json_object_set_new(body, "migration", json_string(out->migration));
}

void event_name_migration(struct event_stream *out)
{
    uint8_t bytes[(EVENT_ID_BYTES - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return;
    for (size_t i = 0; i < sizeof(bytes); i++)
        sprintf(out->migration + 2 * i, "%02x", bytes[i]);
}

/* The next one says it all again. */
static bool is_progress(const char *name)
{
    return !strcmp(name, "progress") || !strcmp(name, "received") || !strcmp(name, "written");
}

void event_write(const struct event_stream *out, json_t *body)
{
    if (out->fd < 0 || !body || !add_common(out, body))
        return;

    const int64_t patience_ns = is_progress(event_name(body)) ? 0 : OUTPUT_PATIENCE_NS;
    char *text = json_dumps(body, JSON_COMPACT);

    if (!text)
        return;

    const size_t len = strlen(text);

    text[len] = '\n'; /* in place of the NUL: one write, one line */
    output_write(out->fd, text, len + 1, patience_ns);
    free(text);
}

void event_tell(const struct event_stream *out, json_t *body)
{
    event_write(out, body);
    json_decref(body);
}
