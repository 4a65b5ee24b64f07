/* SPDX-License-Identifier: MIT */
/*
 * The JSON of control's frames and of admin sockets. The first byte says which message the rest is.
 * What is accepted is within its limits, and arrives as the same when it is passed on.
 */
#include "base/deadline.h"
#include "cmd/xmigrate/admin_words.h"
#include "cmd/xmigrate/session/messages.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate_json.h"
#include "tests/unit/memory_channel.h"
#include "transport/preamble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct memory_channel wire;
static struct control control;

/* What was just sent, as the receiver's buffer has it. */
static const char *receive(size_t *len_bytes)
{
    static char body[CONTROL_BODY_BYTES];
    struct err e = ERR_INIT;
    enum control_type type;

    must(control_recv(&control, &type, body, len_bytes, DEADLINE_NEVER, &e) == 0);
    must(*len_bytes < CONTROL_BODY_BYTES);
    return body;
}

static void check_rc(int rc, const struct err *e)
{
    must(rc == 0 ? !err_is_set(e) : e->class == ERR_PEER || e->class == ERR_REFUSED);
}

static void try_hello(const uint8_t *body, size_t len_bytes)
{
    struct message_hello hello;
    struct err e = ERR_INIT;
    const int rc = message_parse_hello(body, len_bytes, &hello, &e);

    check_rc(rc, &e);
    must(rc || (hello.major == WIRE_MAJOR && hello.max_lanes > 0));
}

static void try_offer(const uint8_t *body, size_t len_bytes)
{
    struct message_offer offer, again;
    struct err e = ERR_INIT;
    const int rc = message_parse_offer(body, len_bytes, &offer, &e);

    check_rc(rc, &e);
    if (rc) {
        must(!offer.config);
        return;
    }
    must(offer.name[0] && !strchr(offer.name, '/') && strlen(offer.uuid) == 36);
    must(offer.lanes > 0 && offer.lanes <= UINT16_MAX);
    must(message_send_offer(&control, &offer, &e) == 0);
    body = (const uint8_t *)receive(&len_bytes);
    must(message_parse_offer(body, len_bytes, &again, &e) == 0);
    must(!strcmp(offer.name, again.name) && !strcmp(offer.uuid, again.uuid));
    must(!strcmp(offer.type, again.type) && !strcmp(offer.config, again.config));
    must(offer.lanes == again.lanes && offer.live == again.live);
    must(offer.measure == again.measure && offer.paused == again.paused);
    must(offer.domid == again.domid && offer.domid < 0x7ff0);
    message_offer_clear(&offer);
    message_offer_clear(&again);
}

static void try_accept(const uint8_t *body, size_t len_bytes)
{
    struct message_accept accept = {0}, again = {0};
    struct err e = ERR_INIT;
    const int rc = message_parse_accept(body, len_bytes, &accept, &e);

    check_rc(rc, &e);
    if (rc)
        return;
    must(accept.lanes > 0 && accept.lanes <= MAX_LANES && accept.finish.low_ns >= 0 &&
         accept.finish.low_ns <= accept.finish.ns && accept.finish.ns <= accept.finish.high_ns);
    must(message_send_accept(&control, &accept, &e) == 0);
    body = (const uint8_t *)receive(&len_bytes);
    must(message_parse_accept(body, len_bytes, &again, &e) == 0);
    must(!memcmp(accept.session, again.session, sizeof(accept.session)) &&
         !memcmp(accept.key, again.key, sizeof(accept.key)) && accept.lanes == again.lanes &&
         !memcmp(&accept.finish, &again.finish, sizeof(accept.finish)) &&
         !strcmp(accept.journal, again.journal));
}

static void try_ready(const uint8_t *body, size_t len_bytes)
{
    struct message_ready ready = {0}, again = {0};
    struct err e = ERR_INIT;
    const int rc = message_parse_ready(body, len_bytes, &ready, &e);

    check_rc(rc, &e);
    if (rc)
        return;
    must(ready.domid > 0 && ready.domid < 0x7ff0 && ready.finish_ns >= 0);
    must(message_send_ready(&control, &ready, &e) == 0);
    body = (const uint8_t *)receive(&len_bytes);
    must(message_parse_ready(body, len_bytes, &again, &e) == 0);
    must(ready.domid == again.domid && ready.finish_ns == again.finish_ns);
    must(!strcmp(ready.mark.journal, again.mark.journal));
    must(!strcmp(ready.mark.boot, again.mark.boot) && ready.mark.clock_ns == again.mark.clock_ns);
}

static void try_started(const uint8_t *body, size_t len_bytes)
{
    struct message_started started = {0}, again = {0};
    struct err e = ERR_INIT;
    const int rc = message_parse_started(body, len_bytes, &started, &e);

    check_rc(rc, &e);
    if (rc)
        return;
    must(started.domid > 0 && started.domid < 0x7ff0 && started.start_ns >= 0);
    must(message_send_started(&control, &started, &e) == 0);
    body = (const uint8_t *)receive(&len_bytes);
    must(message_parse_started(body, len_bytes, &again, &e) == 0);
    must(!memcmp(&started, &again, sizeof(started)));
}

static void try_go(const uint8_t *body, size_t len_bytes)
{
    struct message_go go = {0}, again = {0};
    struct err e = ERR_INIT;
    const int rc = message_parse_go(body, len_bytes, &go, &e);

    check_rc(rc, &e);
    if (rc)
        return;
    must(journal_is_id(go.mark.journal) && go.mark.clock_ns >= 0 && go.within_ns >= 0);
    must(message_send_go(&control, &go, &e) == 0);
    body = (const uint8_t *)receive(&len_bytes);
    must(message_parse_go(body, len_bytes, &again, &e) == 0);
    must(!strcmp(go.mark.journal, again.mark.journal) && !strcmp(go.mark.boot, again.mark.boot));
    must(go.mark.clock_ns == again.mark.clock_ns && go.within_ns == again.within_ns);
}

/* A failure must never turn into success, whatever it says. */
static void try_error(const uint8_t *body, size_t len_bytes)
{
    struct err why = ERR_INIT, again = ERR_INIT, e = ERR_INIT;

    message_parse_error(body, len_bytes, &why);
    must(err_is_set(&why) && why.code > 0 && why.text[0]);
    must(!strchr(why.text, '\n'));
    must(message_send_error(&control, CONTROL_FAILED, &why, &e) == 0);
    body = (const uint8_t *)receive(&len_bytes);
    message_parse_error(body, len_bytes, &again);
    must(why.class == again.class && why.side == again.side && why.code == again.code);
    must(!strcmp(why.text, again.text));
}

/* What another host lists, one by one. */
static void try_listing(const uint8_t *body, size_t len_bytes)
{
    json_t *list = NULL, *guests = NULL;
    struct err e = ERR_INIT;
    const int rc = message_parse_listing(body, len_bytes, &list, &guests, &e);

    check_rc(rc, &e);
    for (size_t i = 0; !rc && i < json_array_size(list); i++) {
        struct admin_status s, again;
        json_t *o;

        if (!admin_status_read(json_array_get(list, i), &s))
            continue;
        must(strlen(s.domain) < sizeof(s.domain) && !strchr(s.peer, '\n') && s.eta_ns >= 0);
        o = admin_status_pack(&s);
        must(admin_status_read(o, &again));
        must(!strcmp(s.domain, again.domain) && s.role == again.role && s.pid == again.pid);
        json_decref(o);
    }
    admin_guest(guests, "g");
    json_decref(guests);
    json_decref(list);
}

static void try_wait(const uint8_t *body, size_t len_bytes)
{
    struct message_wait wait;
    struct err e = ERR_INIT;
    const int rc = message_parse_wait(body, len_bytes, &wait, &e);

    check_rc(rc, &e);
    must(rc || (wait.ahead > 0 && wait.at_once > 0));
}

/* What root asks over an admin socket. */
static void try_request(const uint8_t *body, size_t len_bytes)
{
    struct admin_request r, again;
    struct err e = ERR_INIT;
    char *text;

    if (admin_request_parse((const char *)body, len_bytes, &r, &e)) {
        must(e.class == ERR_USAGE);
        return;
    }
    text = admin_request_text(&r);
    must(text && !admin_request_parse(text, strlen(text), &again, &e));
    must(r.verb == again.verb && r.bandwidth == again.bandwidth);
    must(!r.max_downtime || r.tune.max_downtime_ns == again.tune.max_downtime_ns);
    free(text);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_behind_byte(data, size, max_size, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const uint8_t *body, size_t len_bytes) = {try_hello, try_offer,
        try_accept, try_ready, try_started, try_error, try_go, try_listing, try_request, try_wait};

    if (!size)
        return 0;
    if (!wire.ch.ops) {
        memory_channel_init(&wire);
        control_init(&control, &wire.ch);
    }
    memory_channel_reset(&wire);
    tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](data + 1, size - 1);
    return 0;
}
