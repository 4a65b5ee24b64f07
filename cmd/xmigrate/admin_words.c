/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/admin_words.h"

#include "cmd/fields.h"
#include "sched/bucket.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

const char *admin_direction_name(int role)
{
    return role == LINK_SOURCE ? "out" : "in";
}

static const char *verb_name(int verb)
{
    static const char *const names[] = {[ADMIN_STATUS] = "status",
        [ADMIN_CANCEL] = "cancel",
        [ADMIN_SET] = "set",
        [ADMIN_METRICS] = "metrics"};

    return names[verb];
}

static const struct field_words roles = {admin_direction_name, 0, LINK_DESTINATION + 1, -1};
static const struct field_words verbs = {verb_name, 0, ADMIN_METRICS + 1, -1};

static const struct field status_fields[] = {
    FIELD("direction", FIELD_WORD, struct admin_status, role, .words = &roles),
    FIELD("domain", FIELD_LINE, struct admin_status, domain),
    FIELD_COUNT32("domid", struct admin_status, domid),
    FIELD("uuid", FIELD_LINE, struct admin_status, uuid),
    FIELD("peer", FIELD_LINE, struct admin_status, peer),
    FIELD_COUNT32("pid", struct admin_status, pid),
    FIELD("phase", FIELD_LINE, struct admin_status, phase),
    FIELD_COUNT32("round", struct admin_status, round),
    FIELD_COUNT32("percent", struct admin_status, percent),
    FIELD_COUNT("wire_bytes", struct admin_status, wire_bytes),
    FIELD_COUNT("wire_bits_per_s", struct admin_status, wire_bits_per_s),
    FIELD_COUNT("eta_ns", struct admin_status, eta_ns),
    FIELD_COUNT("predicted_downtime_ns", struct admin_status, predicted_downtime_ns),
    FIELD_COUNT("elapsed_ns", struct admin_status, elapsed_ns),
    FIELD_COUNT("share_bits_per_s", struct admin_status, share_bits_per_s),
    FIELD("limits", FIELD_PARTS, struct admin_status, tune, .parts = link_tune_fields),
    FIELDS_END,
};

static const struct field verb_fields[] = {
    FIELD("do", FIELD_WORD, struct admin_request, verb, .words = &verbs),
    FIELDS_END,
};

json_t *admin_status_pack(const struct admin_status *s)
{
    return fields_pack(status_fields, s);
}

bool admin_status_read(const json_t *o, struct admin_status *s)
{
    return fields_read(status_fields, o, s);
}

/* link_tune_fields by their places; which of them are there is what a request says. */
static bool *is_given(struct admin_request *r, size_t offset)
{
    return offset == offsetof(struct link_tune, bandwidth_bits_per_s) ? &r->bandwidth
           : offset == offsetof(struct link_tune, max_downtime_ns)    ? &r->max_downtime
                                                                      : &r->on_stall;
}

char *admin_request_text(const struct admin_request *r)
{
    struct admin_request all = *r;
    json_t *o = fields_pack(verb_fields, r);
    bool good = o != NULL;
    char *text;

    for (const struct field *f = link_tune_fields; good && f->kind != FIELD_NONE; f++) {
        const struct field one[] = {*f, FIELDS_END};

        if (r->verb == ADMIN_SET && *is_given(&all, f->offset))
            good = fields_write(one, &r->tune, o);
    }
    text = good ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static int read_tune(const json_t *o, struct admin_request *r, struct err *e)
{
    for (const struct field *f = link_tune_fields; f->kind != FIELD_NONE; f++) {
        const struct field one[] = {*f, FIELDS_END};

        if (!json_object_get(o, f->name))
            continue;
        *is_given(r, f->offset) = true;
        if (!fields_read(one, o, &r->tune))
            return err_set(e, ERR_USAGE, EINVAL, "\"%s\" makes no sense", f->name);
    }
    if (r->bandwidth && r->tune.bandwidth_bits_per_s &&
        r->tune.bandwidth_bits_per_s < BUCKET_LEAST_BITS_PER_S)
        return err_set(e, ERR_USAGE, EINVAL,
            "\"bandwidth_bits_per_s\" is too low: at least %d, or 0 for no cap",
            BUCKET_LEAST_BITS_PER_S);
    return r->bandwidth || r->max_downtime || r->on_stall
               ? 0
               : err_set(e, ERR_USAGE, EINVAL, "there is nothing to set");
}

int admin_request_parse(const char *text, size_t len_bytes, struct admin_request *r, struct err *e)
{
    json_t *o = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, NULL);
    int rc = 0;

    *r = (struct admin_request){.verb = ADMIN_STATUS};
    if (!json_is_object(o) || !fields_read(verb_fields, o, r))
        rc = err_set(e, ERR_USAGE, EINVAL,
            "wanted is a JSON object on one line, whose \"do\" is status, cancel, set or metrics");
    if (!rc && r->verb == ADMIN_SET)
        rc = read_tune(o, r, e);
    json_decref(o);
    return rc;
}

void admin_apply(const struct admin_request *r, struct link_tune *tune)
{
    if (r->bandwidth)
        tune->bandwidth_bits_per_s = r->tune.bandwidth_bits_per_s;
    if (r->max_downtime)
        tune->max_downtime_ns = r->tune.max_downtime_ns;
    if (r->on_stall)
        tune->on_stall = r->tune.on_stall;
}

const json_t *admin_guest(const json_t *guests, const char *dom)
{
    for (size_t i = 0; i < json_array_size(guests); i++) {
        const json_t *guest = json_array_get(guests, i);
        const char *name = json_string_value(json_object_get(guest, "domain"));
        const char *uuid = json_string_value(json_object_get(guest, "uuid"));

        if ((name && !strcmp(name, dom)) || (uuid && !strcmp(uuid, dom)))
            return guest;
    }
    return NULL;
}
