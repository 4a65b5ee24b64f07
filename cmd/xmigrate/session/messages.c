#include "cmd/xmigrate/session/messages.h"

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

static void to_hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

int message_send_hello(struct control *c, struct err *e)
{
    return send_json(c, CONTROL_HELLO,
        json_pack("{s:i, s:i, s:i}", "major", WIRE_MAJOR, "minor", WIRE_MINOR, "max_lanes",
            LINK_MAX_LANES),
        e);
}

int message_send_offer(struct control *c, const struct message_offer *offer, struct err *e)
{
    json_t *body = json_pack("{s:s, s:s, s:s, s:b, s:i, s:s}", "name", offer->name, "uuid",
        offer->uuid, "type", offer->type, "live", offer->live, "lanes", (int)offer->lanes, "config",
        offer->config);

    if (body && offer->measure)
        json_object_set_new(body, "measure", json_true());
    return send_json(c, CONTROL_OFFER, body, e);
}

int message_send_accept(struct control *c, const struct message_accept *accept, struct err *e)
{
    char session[2 * LINK_SESSION_BYTES + 1], key[2 * LINK_KEY_BYTES + 1];

    to_hex(accept->session, LINK_SESSION_BYTES, session);
    to_hex(accept->key, LINK_KEY_BYTES, key);

    json_t *body = json_pack("{s:s, s:s, s:i, s:I}", "session", session, "key", key, "lanes",
        (int)accept->lanes, "finish_ns", (json_int_t)accept->finish_ns);

    explicit_bzero(key, sizeof(key));
    return send_json(c, CONTROL_ACCEPT, body, e);
}

int message_send_ready(struct control *c, const struct message_ready *ready, struct err *e)
{
    return send_json(c, CONTROL_READY,
        json_pack("{s:I, s:I}", "domid", (json_int_t)ready->domid, "finish_ns",
            (json_int_t)ready->finish_ns),
        e);
}

int message_send_started(struct control *c, const struct message_started *started, struct err *e)
{
    return send_json(c, CONTROL_STARTED,
        json_pack("{s:I, s:I}", "domid", (json_int_t)started->domid, "start_ns",
            (json_int_t)started->start_ns),
        e);
}

int message_send_error(
    struct control *c, enum control_type type, const struct err *why, struct err *e)
{
    return send_json(c, type,
        json_pack("{s:s, s:s, s:s, s:i}", "class", err_class_name(why->class), "side",
            err_side_name(why->side), "text", why->text, "code", why->code),
        e);
}

int message_send_empty(struct control *c, enum control_type type, struct err *e)
{
    return control_send(c, type, NULL, 0, e);
}

/* Each take_ function reads one field; false when it is absent, of another type or out of range. */
static bool take_int(const json_t *o, const char *name, int64_t min, int64_t max, int64_t *v)
{
    const json_t *f = json_object_get(o, name);

    if (!json_is_integer(f) || json_integer_value(f) < min || json_integer_value(f) > max)
        return false;
    *v = json_integer_value(f);
    return true;
}

static bool take_unsigned(
    const json_t *o, const char *name, unsigned min, unsigned max, unsigned *v)
{
    int64_t wide;

    if (!take_int(o, name, min, max, &wide))
        return false;
    *v = (unsigned)wide;
    return true;
}

/* Without control characters: it is shown, logged and made part of names. */
static bool take_text(const json_t *o, const char *name, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(o, name));

    if (!text || snprintf(out, cap, "%s", text) >= (int)cap)
        return false;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            return false;
    return true;
}

static bool take_hex(const json_t *o, const char *name, uint8_t *out, size_t len)
{
    const char *text = json_string_value(json_object_get(o, name));

    if (!text || strlen(text) != 2 * len || strspn(text, "0123456789abcdef") != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char pair[3] = {text[2 * i], text[2 * i + 1]};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool is_uuid(const char *text)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (strlen(text) != strlen(shape))
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == '-' ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))
            return false;
    return true;
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

int message_parse_hello(
    const void *body, size_t len_bytes, struct message_hello *hello, struct err *e)
{
    json_t *o = load(body, len_bytes);
    const bool good = take_unsigned(o, "major", 0, UINT16_MAX, &hello->major) &&
                      take_unsigned(o, "minor", 0, UINT16_MAX, &hello->minor) &&
                      take_unsigned(o, "max_lanes", 1, UINT16_MAX, &hello->max_lanes);
    const int rc = judge(o, good, CONTROL_HELLO, e);

    if (!rc && hello->major != WIRE_MAJOR)
        return err_set(e, ERR_REFUSED, EPROTONOSUPPORT,
            "the peer speaks version %u.%u of the protocol, this host %d.%d: install the same "
            "xmigrate on both",
            hello->major, hello->minor, WIRE_MAJOR, WIRE_MINOR);
    return rc;
}

int message_parse_offer(
    const void *body, size_t len_bytes, struct message_offer *offer, struct err *e)
{
    json_t *o = load(body, len_bytes);
    const char *config = json_string_value(json_object_get(o, "config"));
    const json_t *measure = json_object_get(o, "measure");

    *offer = (struct message_offer){
        .live = json_is_true(json_object_get(o, "live")), .measure = json_is_true(measure)};

    const bool good = take_text(o, "name", offer->name, sizeof(offer->name)) &&
                      is_name(offer->name) &&
                      take_text(o, "uuid", offer->uuid, sizeof(offer->uuid)) &&
                      is_uuid(offer->uuid) &&
                      take_text(o, "type", offer->type, sizeof(offer->type)) &&
                      take_unsigned(o, "lanes", 1, UINT16_MAX, &offer->lanes) &&
                      json_is_boolean(json_object_get(o, "live")) &&
                      (!measure || json_is_boolean(measure)) && config;

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
    const bool good = take_hex(o, "session", accept->session, LINK_SESSION_BYTES) &&
                      take_hex(o, "key", accept->key, LINK_KEY_BYTES) &&
                      take_unsigned(o, "lanes", 1, LINK_MAX_LANES, &accept->lanes) &&
                      take_int(o, "finish_ns", 0, INT64_MAX, &accept->finish_ns);

    return judge(o, good, CONTROL_ACCEPT, e);
}

static bool take_domid_and_time(
    const json_t *o, const char *time, uint32_t *domid, int64_t *time_ns)
{
    int64_t wide;

    if (!take_int(o, "domid", 1, 0x7fef, &wide) || !take_int(o, time, 0, INT64_MAX, time_ns))
        return false;
    *domid = (uint32_t)wide;
    return true;
}

int message_parse_ready(
    const void *body, size_t len_bytes, struct message_ready *ready, struct err *e)
{
    json_t *o = load(body, len_bytes);

    return judge(
        o, take_domid_and_time(o, "finish_ns", &ready->domid, &ready->finish_ns), CONTROL_READY, e);
}

int message_parse_started(
    const void *body, size_t len_bytes, struct message_started *started, struct err *e)
{
    json_t *o = load(body, len_bytes);

    return judge(o, take_domid_and_time(o, "start_ns", &started->domid, &started->start_ns),
        CONTROL_STARTED, e);
}

void message_parse_error(const void *body, size_t len_bytes, struct err *why)
{
    json_t *o = load(body, len_bytes);
    struct err got = ERR_INIT;
    char class[16], side[16], text[ERR_TEXT_BYTES];
    int64_t code;

    if (take_text(o, "class", class, sizeof(class)) && take_text(o, "side", side, sizeof(side)) &&
        take_text(o, "text", text, sizeof(text)) && text[0] &&
        take_int(o, "code", 1, 4095, &code)) {
        err_set(&got, err_class_parse(class), (int)code, "%s", text);
        got.side = err_side_parse(side);
    } else {
        err_set(&got, ERR_PEER, EBADMSG, "the peer failed and gave no reason that makes sense");
    }
    json_decref(o);
    err_take(why, &got);
}
