/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/messages.h"

#include "cmd/fields.h"
#include "transport/preamble.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes over the reference to body. */
static int send_json(struct control *c, enum control_type type, json_t *body, struct err *e)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    int rc;

    json_decref(body);
    if (!text)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for %s", control_type_name(type));
    if (strlen(text) > CONTROL_MAX_JSON_BYTES)
        rc = err_set(e, ERR_REFUSED, E2BIG, "%s is too long: %zu bytes", control_type_name(type),
            strlen(text));
    else
        rc = control_send(c, type, text, strlen(text), e);
    explicit_bzero(text, strlen(text));
    free(text);
    return rc;
}

/* --- what they hold --- */

static const struct field hello_fields[] = {
    FIELD_BETWEEN("major", struct message_hello, major, 0, UINT16_MAX),
    FIELD_BETWEEN("minor", struct message_hello, minor, 0, UINT16_MAX),
    FIELD_BETWEEN("max_lanes", struct message_hello, max_lanes, 1, UINT16_MAX),
    FIELDS_END,
};

/* And "config", which has no limit of its own, "measure" and "cpu", which only measuring ones have,
 * and "device_model", which those of HVM guests have. */
static const struct field offer_fields[] = {
    FIELD("name", FIELD_LINE, struct message_offer, name),
    FIELD("uuid", FIELD_LINE, struct message_offer, uuid),
    FIELD("type", FIELD_LINE, struct message_offer, type),
    FIELD("live", FIELD_BOOL, struct message_offer, live),
    FIELD("early", FIELD_BOOL, struct message_offer, early),
    FIELD_BETWEEN("lanes", struct message_offer, lanes, 1, UINT16_MAX),
    FIELD("paused", FIELD_BOOL, struct message_offer, paused),
    FIELD_BETWEEN("domid", struct message_offer, domid, 0, LINK_MAX_DOMID),
    FIELDS_END,
};

static const struct field accept_fields[] = {
    FIELD("session", FIELD_BYTES, struct message_accept, session),
    FIELD("key", FIELD_BYTES, struct message_accept, key),
    FIELD_BETWEEN("lanes", struct message_accept, lanes, 1, MAX_LANES),
    FIELD("early", FIELD_BOOL, struct message_accept, early),
    FIELD("journal", FIELD_LINE, struct message_accept, journal),
    FIELD_BETWEEN("finish_ns", struct message_accept, finish.ns, 0, MESSAGE_MAX_FINISH_NS),
    FIELD_BETWEEN("finish_low_ns", struct message_accept, finish.low_ns, 0, MESSAGE_MAX_FINISH_NS),
    FIELD_BETWEEN(
        "finish_high_ns", struct message_accept, finish.high_ns, 0, MESSAGE_MAX_FINISH_NS),
    FIELD_BETWEEN("xen_major", struct message_accept, xen.major, 0, UINT16_MAX),
    FIELD_BETWEEN("xen_minor", struct message_accept, xen.minor, 0, UINT16_MAX),
    FIELDS_END,
};

static const struct field wait_fields[] = {
    FIELD_BETWEEN("ahead", struct message_wait, ahead, 1, UINT16_MAX),
    FIELD_BETWEEN("at_once", struct message_wait, at_once, 1, UINT16_MAX),
    FIELDS_END,
};

static const struct field ready_fields[] = {
    FIELD_BETWEEN("domid", struct message_ready, domid, 1, LINK_MAX_DOMID),
    FIELD_COUNT("finish_ns", struct message_ready, finish_ns),
    FIELD("journal", FIELD_LINE, struct message_ready, mark.journal),
    FIELD("boot", FIELD_LINE, struct message_ready, mark.boot),
    FIELD_COUNT("clock_ns", struct message_ready, mark.clock_ns),
    FIELDS_END,
};

static const struct field go_fields[] = {
    FIELD("journal", FIELD_LINE, struct message_go, mark.journal),
    FIELD("boot", FIELD_LINE, struct message_go, mark.boot),
    FIELD_COUNT("clock_ns", struct message_go, mark.clock_ns),
    FIELD_COUNT("within_ns", struct message_go, within_ns),
    FIELDS_END,
};

static const struct field started_fields[] = {
    FIELD_BETWEEN("domid", struct message_started, domid, 1, LINK_MAX_DOMID),
    FIELD_COUNT("start_ns", struct message_started, start_ns),
    FIELD_COUNT("save_ns", struct message_started, save_ns),
    FIELDS_END,
};

static const struct field ask_fields[] = {
    FIELD("session", FIELD_LINE, struct message_ask, session),
    FIELD("uuid", FIELD_LINE, struct message_ask, uuid),
    FIELD("journal", FIELD_LINE, struct message_ask, journal),
    FIELDS_END,
};

static const char *answer_name(int answer)
{
    static const char *const names[ANSWERS] = {
        [ANSWER_STARTED] = "started",
        [ANSWER_ENDED] = "ended",
        [ANSWER_MOVED_ON] = "moved_on",
        [ANSWER_GONE] = "gone",
        [ANSWER_IN_DOUBT] = "in_doubt",
        [ANSWER_UNKNOWN] = "unknown",
    };

    return names[answer];
}

static const struct field_words answers = {answer_name, 0, ANSWERS, -1};

static const struct field answer_fields[] = {
    FIELD("answer", FIELD_WORD, struct message_answer, answer, .words = &answers),
    FIELD("moved_to", FIELD_LINE, struct message_answer, moved_to),
    FIELDS_END,
};

/* --- sending --- */

void message_session_text(
    const uint8_t session[static LINK_SESSION_BYTES], char text[static JOURNAL_ID_BYTES])
{
    for (size_t i = 0; i < LINK_SESSION_BYTES; i++)
        sprintf(text + 2 * i, "%02x", session[i]);
}

int message_send_hello(struct control *c, struct err *e)
{
    const struct message_hello hello = {WIRE_MAJOR, WIRE_MINOR, MAX_LANES};

    return send_json(c, CONTROL_HELLO, fields_pack(hello_fields, &hello), e);
}

int message_send_offer(struct control *c, const struct message_offer *offer, struct err *e)
{
    json_t *body = fields_pack(offer_fields, offer);

    json_object_set_new(body, "config", json_string(offer->config));
    if (offer->measure)
        json_object_set_new(body, "measure", json_true());
    if (offer->cpu[0])
        json_object_set_new(body, "cpu", json_string(offer->cpu));
    if (offer->device_model[0])
        json_object_set_new(body, "device_model", json_string(offer->device_model));
    return send_json(c, CONTROL_OFFER, body, e);
}

static json_t *lines_pack(const char *lines)
{
    json_t *all = json_array();

    for (const char *line = lines, *end; *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        json_array_append_new(all, json_stringn(line, (size_t)(end - line)));
    }
    return all;
}

int message_send_accept(struct control *c, const struct message_accept *accept, struct err *e)
{
    json_t *body = fields_pack(accept_fields, accept);

    if (accept->lacks[0])
        json_object_set_new(body, "lacks", lines_pack(accept->lacks));
    return send_json(c, CONTROL_ACCEPT, body, e);
}

int message_send_wait(struct control *c, const struct message_wait *wait, struct err *e)
{
    return send_json(c, CONTROL_WAIT, fields_pack(wait_fields, wait), e);
}

int message_send_ready(struct control *c, const struct message_ready *ready, struct err *e)
{
    return send_json(c, CONTROL_READY, fields_pack(ready_fields, ready), e);
}

int message_send_go(struct control *c, const struct message_go *go, struct err *e)
{
    return send_json(c, CONTROL_GO, fields_pack(go_fields, go), e);
}

int message_send_started(struct control *c, const struct message_started *started, struct err *e)
{
    return send_json(c, CONTROL_STARTED, fields_pack(started_fields, started), e);
}

int message_send_ask(struct control *c, const struct message_ask *ask, struct err *e)
{
    return send_json(c, CONTROL_ASK, fields_pack(ask_fields, ask), e);
}

int message_send_answer(struct control *c, const struct message_answer *answer, struct err *e)
{
    return send_json(c, CONTROL_ANSWER, fields_pack(answer_fields, answer), e);
}

int message_send_listing(struct control *c, json_t *migrations, json_t *guests, struct err *e)
{
    return send_json(c, CONTROL_LISTING,
        json_pack("{s:o, s:o*}", "migrations", migrations, "guests", guests), e);
}

int message_send_error(
    struct control *c, enum control_type type, const struct err *why, struct err *e)
{
    return send_json(c, type, fields_pack(link_err_fields, why), e);
}

int message_send_empty(struct control *c, enum control_type type, struct err *e)
{
    return control_send(c, type, NULL, 0, e);
}

/* --- reading --- */

static bool is_mark(const struct message_mark *mark)
{
    return journal_is_id(mark->journal) && journal_is_uuid(mark->boot);
}

/* Names become parts of xenstore paths' values and of messages; libxl takes no slash. */
static bool is_name(const char *text)
{
    return text[0] && !strchr(text, '/');
}

static json_t *load(const void *body, size_t len_bytes)
{
    return json_loadb(body, len_bytes, JSON_REJECT_DUPLICATES, NULL);
}

static int judge(json_t *o, bool good, enum control_type type, struct err *e)
{
    json_decref(o);
    return good ? 0
                : err_set(e, ERR_PEER, EBADMSG, "the peer sent a %s that makes no sense",
                      control_type_name(type));
}

static int parse(const void *body, size_t len_bytes, enum control_type type,
    const struct field *fields, void *to, struct err *e)
{
    json_t *o = load(body, len_bytes);

    return judge(o, fields_read(fields, o, to), type, e);
}

int message_parse_hello(
    const void *body, size_t len_bytes, struct message_hello *hello, struct err *e)
{
    const int rc = parse(body, len_bytes, CONTROL_HELLO, hello_fields, hello, e);

    if (!rc && hello->major != WIRE_MAJOR)
        return err_set(e, ERR_REFUSED, EPROTONOSUPPORT,
            "the peer speaks version %u.%u of the protocol, this host %d.%d: install the same "
            "xmigrate on both",
            hello->major, hello->minor, WIRE_MAJOR, WIRE_MINOR);
    return rc;
}

static bool is_cpu(const char *text)
{
    const size_t len = strlen(text);

    return len && len < MESSAGE_CPU_BYTES && len % 8 == 0 &&
           strspn(text, "0123456789abcdef") == len;
}

/* Lines of text, each of which a terminal can show. */
static bool read_lacks(const json_t *all, char lacks[static MESSAGE_LACKS_BYTES])
{
    size_t at = 0, i;
    const json_t *one;

    lacks[0] = '\0';
    if (!all)
        return true;
    if (!json_is_array(all) || json_array_size(all) > MESSAGE_MAX_LACKS)
        return false;
    json_array_foreach(all, i, one)
    {
        const char *line = json_string_value(one);

        if (!line || !*line || !field_is_line(line) || at + strlen(line) + 2 > MESSAGE_LACKS_BYTES)
            return false;
        at += (size_t)snprintf(lacks + at, MESSAGE_LACKS_BYTES - at, "%s%s", at ? "\n" : "", line);
    }
    return true;
}

int message_parse_offer(
    const void *body, size_t len_bytes, struct message_offer *offer, struct err *e)
{
    json_t *o = load(body, len_bytes);
    const char *config = json_string_value(json_object_get(o, "config"));
    const json_t *measure = json_object_get(o, "measure"),
                 *model = json_object_get(o, "device_model");
    const char *cpu = json_string_value(json_object_get(o, "cpu")) ?: "";
    unsigned major, minor;

    *offer = (struct message_offer){.measure = json_is_true(measure)};
    if (sscanf(json_string_value(model) ?: "", "%5u.%5u", &major, &minor) == 2)
        snprintf(offer->device_model, sizeof(offer->device_model), "%u.%u", major, minor);

    const bool good = fields_read(offer_fields, o, offer) && is_name(offer->name) &&
                      journal_is_uuid(offer->uuid) && (!measure || json_is_boolean(measure)) &&
                      (!model || offer->device_model[0]) && (!*cpu || is_cpu(cpu)) && config;

    if (good)
        snprintf(offer->cpu, sizeof(offer->cpu), "%s", cpu);
    if (good)
        offer->config = strdup(config);

    const int rc = judge(o, good, CONTROL_OFFER, e);

    if (!rc && !offer->config)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the configuration");
    return rc;
}

void message_offer_clear(struct message_offer *offer)
{
    free(offer->config);
    offer->config = NULL;
}

int message_parse_accept(
    const void *body, size_t len_bytes, struct message_accept *accept, struct err *e)
{
    json_t *o = load(body, len_bytes);
    const bool good = fields_read(accept_fields, o, accept) &&
                      read_lacks(json_object_get(o, "lacks"), accept->lacks);
    const int rc = judge(o, good, CONTROL_ACCEPT, e);
    const struct likely *finish = &accept->finish;

    if (!rc && (finish->low_ns > finish->ns || finish->ns > finish->high_ns ||
                   !journal_is_id(accept->journal)))
        return err_set(e, ERR_PEER, EBADMSG, "an ACCEPT that makes no sense");
    return rc;
}

int message_parse_wait(const void *body, size_t len_bytes, struct message_wait *wait, struct err *e)
{
    return parse(body, len_bytes, CONTROL_WAIT, wait_fields, wait, e);
}

int message_parse_ready(
    const void *body, size_t len_bytes, struct message_ready *ready, struct err *e)
{
    json_t *o = load(body, len_bytes);

    return judge(o, fields_read(ready_fields, o, ready) && is_mark(&ready->mark), CONTROL_READY, e);
}

int message_parse_go(const void *body, size_t len_bytes, struct message_go *go, struct err *e)
{
    json_t *o = load(body, len_bytes);

    return judge(o, fields_read(go_fields, o, go) && is_mark(&go->mark), CONTROL_GO, e);
}

int message_parse_started(
    const void *body, size_t len_bytes, struct message_started *started, struct err *e)
{
    return parse(body, len_bytes, CONTROL_STARTED, started_fields, started, e);
}

int message_parse_ask(const void *body, size_t len_bytes, struct message_ask *ask, struct err *e)
{
    json_t *o = load(body, len_bytes);

    return judge(o,
        fields_read(ask_fields, o, ask) && journal_is_id(ask->session) &&
            journal_is_uuid(ask->uuid) && journal_is_id(ask->journal),
        CONTROL_ASK, e);
}

int message_parse_answer(
    const void *body, size_t len_bytes, struct message_answer *answer, struct err *e)
{
    return parse(body, len_bytes, CONTROL_ANSWER, answer_fields, answer, e);
}

int message_parse_listing(
    const void *body, size_t len_bytes, json_t **migrations, json_t **guests, struct err *e)
{
    json_t *o = load(body, len_bytes);

    *migrations = json_incref(json_object_get(o, "migrations"));
    *guests = json_incref(json_object_get(o, "guests"));
    return judge(
        o, json_is_array(*migrations) && (!*guests || json_is_array(*guests)), CONTROL_LISTING, e);
}

void message_parse_error(const void *body, size_t len_bytes, struct err *why)
{
    json_t *o = load(body, len_bytes);
    struct err said, got = ERR_INIT;

    if (fields_read(link_err_fields, o, &said) && said.text[0]) {
        err_set(&got, said.class, said.code, "%s", said.text); /* whatever characters it has */
        got.side = said.side;
    } else {
        err_set(&got, ERR_PEER, EBADMSG, "the peer failed and gave no reason that makes sense");
    }
    json_decref(o);
    err_take(why, &got);
}
