#include "cmd/xmigrate/ui/events.h"

#include "base/deadline.h"
#include "cmd/xmigrate/ui/output.h"

#include <stdlib.h>
#include <string.h>

/* Whole numbers that cannot be negative are all there is: counts and times. */
static bool read_u64(const json_t *o, const char *name, uint64_t *v)
{
    const json_t *f = json_object_get(o, name);

    if (!json_is_integer(f) || json_integer_value(f) < 0)
        return false;
    *v = (uint64_t)json_integer_value(f);
    return true;
}

static bool read_ns(const json_t *o, const char *name, int64_t *v)
{
    uint64_t n;

    if (!read_u64(o, name, &n))
        return false;
    *v = (int64_t)n;
    return true;
}

static bool read_count(const json_t *o, const char *name, unsigned *v)
{
    uint64_t n;

    if (!read_u64(o, name, &n) || n > UINT32_MAX)
        return false;
    *v = (unsigned)n;
    return true;
}

static bool read_rate(const json_t *o, const char *name, double *v)
{
    const json_t *f = json_object_get(o, name);

    if (!json_is_number(f) || json_number_value(f) < 0)
        return false;
    *v = json_number_value(f);
    return true;
}

bool event_read_progress(const json_t *body, struct progress_report *r)
{
    return read_count(body, "round", &r->round) && read_u64(body, "round_pages", &r->round_pages) &&
           read_u64(body, "round_done_pages", &r->round_done_pages) &&
           read_u64(body, "round_sent_pages", &r->round_sent_pages) &&
           read_u64(body, "wire_bytes", &r->wire_bytes) &&
           read_rate(body, "send_pages_per_s", &r->send_pages_per_s) &&
           read_rate(body, "dirty_pages_per_s", &r->dirty_pages_per_s) &&
           read_ns(body, "predicted_downtime_ns", &r->predicted_downtime_ns);
}

bool event_read_round(const json_t *body, struct round_report *r)
{
    const json_t *last = json_object_get(body, "last");

    r->last = json_is_true(last);
    return json_is_boolean(last) && read_count(body, "round", &r->round) &&
           read_u64(body, "pages", &r->pages) && read_u64(body, "data_pages", &r->data_pages) &&
           read_u64(body, "zero_pages", &r->zero_pages) &&
           read_u64(body, "skipped_pages", &r->skipped_pages) &&
           read_u64(body, "kept_pages", &r->kept_pages) &&
           read_u64(body, "deferred_pages", &r->deferred_pages) &&
           read_u64(body, "wire_bytes", &r->wire_bytes) &&
           read_ns(body, "duration_ns", &r->duration_ns) &&
           read_rate(body, "send_pages_per_s", &r->send_pages_per_s) &&
           read_u64(body, "dirty_pages", &r->dirty_pages) &&
           read_rate(body, "dirty_pages_per_s", &r->dirty_pages_per_s) &&
           read_ns(body, "clean_ns", &r->clean_ns) &&
           read_ns(body, "predicted_downtime_ns", &r->predicted_downtime_ns);
}

const char *event_read_decision(const json_t *body)
{
    return json_string_value(json_object_get(body, "text"));
}

static bool read_prediction(const json_t *o, struct prediction *p)
{
    /* Two parts come as sums, which is how they stand beside what then happened. */
    return read_ns(o, "downtime_ns", &p->whole_ns) && read_ns(o, "low_ns", &p->low_ns) &&
           read_ns(o, "high_ns", &p->high_ns) && read_ns(o, "suspend_ns", &p->suspend_ns) &&
           read_ns(o, "last_round_ns", &p->pages_ns) && read_ns(o, "finish_ns", &p->receiver_ns);
}

bool event_read_total(const json_t *body, struct total_report *t)
{
    const json_t *parts = json_object_get(body, "downtime");

    return read_count(body, "rounds", &t->rounds) && read_u64(body, "data_pages", &t->data_pages) &&
           read_u64(body, "zero_pages", &t->zero_pages) &&
           read_u64(body, "wire_bytes", &t->wire_bytes) &&
           read_ns(body, "total_ns", &t->total_ns) &&
           read_prediction(json_object_get(body, "predicted"), &t->predicted) &&
           read_ns(parts, "suspend_ns", &t->downtime.suspend_ns) &&
           read_ns(parts, "last_round_ns", &t->downtime.last_round_ns) &&
           read_ns(parts, "state_ns", &t->downtime.state_ns) &&
           read_ns(parts, "receiver_ns", &t->downtime.receiver_ns);
}

const char *event_name(const json_t *body)
{
    return json_string_value(json_object_get(body, "event")) ?: "";
}

json_t *event_done(const struct summary *s)
{
    const struct total_report *t = &s->total;
    const struct downtime_parts *d = &s->downtime;

    return json_pack("{s:s, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I}, "
                     "s:{s:I, s:I, s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:O?}",
        "event", "done", "total_ns", (json_int_t)s->whole_ns, "downtime_ns",
        (json_int_t)d->whole_ns, "predicted_downtime_ns", (json_int_t)t->predicted.whole_ns,
        "downtime", "suspend_ns", (json_int_t)d->engine.suspend_ns, "last_round_ns",
        (json_int_t)d->engine.last_round_ns, "state_ns", (json_int_t)d->engine.state_ns,
        "receiver_ns", (json_int_t)d->engine.receiver_ns, "libxl_ns", (json_int_t)d->libxl_ns,
        "hand_off_ns", (json_int_t)d->hand_off_ns, "predicted", "low_ns",
        (json_int_t)t->predicted.low_ns, "high_ns", (json_int_t)t->predicted.high_ns, "suspend_ns",
        (json_int_t)t->predicted.suspend_ns, "last_round_ns", (json_int_t)t->predicted.pages_ns,
        "finish_ns", (json_int_t)t->predicted.receiver_ns, "rounds", (json_int_t)t->rounds,
        "data_pages", (json_int_t)t->data_pages, "zero_pages", (json_int_t)t->zero_pages,
        "wire_bytes", (json_int_t)t->wire_bytes, "lanes", s->lanes);
}

json_t *event_failed(const struct err *why, int exit_code, const char *guest)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "event", "failed", "class",
        err_class_name(why->class), "side", err_side_name(why->side), "text", why->text,
        "exit_code", exit_code, "guest", guest);
}

void event_write(const struct event_stream *out, json_t *body)
{
    if (out->fd < 0 || !body ||
        json_object_set_new(body, "elapsed_ns", json_integer(now_ns() - out->start_ns)))
        return;

    const bool matters = strcmp(event_name(body), "progress") != 0;
    char *text = json_dumps(body, JSON_COMPACT);

    if (!text)
        return;

    const size_t len = strlen(text);

    text[len] = '\n'; /* in place of the NUL: one write, one line */
    output_write(out->fd, text, len + 1, matters ? OUTPUT_PATIENCE_NS : 0);
    free(text);
}
