/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/call.h"

#include "base/deadline.h"
#include "crypto/trust.h"

#include <errno.h>

static int reach(struct call *c, const struct call_params *call, struct err *e)
{
    struct peer_params p = {
        .rights = TRUST_RECEIVE | TRUST_STATUS,
        .lane = LANE_CONTROL,
        .expected_fingerprint = call->expected_key,
        .stall_ns = call->silent_ns,
        .deadline_ns = deadline_in(call->connect_ns),
    };
    struct channel *ch;
    int rc = call->insecure ? 0 : tls_open(&c->tls, call->config_dir, e);

    p.tls = c->tls;
    if (!rc)
        rc = peer_connect_patiently(&call->address, &p, &ch, &c->peer, e);
    if (rc)
        return rc;
    control_init(&c->control, ch);
    rc = mailbox_start(&c->box, &c->control, call->silent_ns, e);
    if (rc)
        control_close(&c->control);
    return rc;
}

int call_begin(struct call *c, const struct call_params *p, struct err *e)
{
    struct message_hello hello;
    const void *body;
    size_t len_bytes;
    int rc;

    *c = (struct call){.silent_ns = p->silent_ns};
    rc = reach(c, p, e);
    if (!rc)
        rc = message_send_hello(&c->control, e);
    if (!rc)
        rc = call_expect(c, CONTROL_HELLO, &body, &len_bytes, e);
    return rc ? rc : message_parse_hello(body, len_bytes, &hello, e);
}

int call_expect(
    struct call *c, enum control_type wanted, const void **body, size_t *len_bytes, struct err *e)
{
    enum control_type type;
    const int rc = mailbox_wait(c->box, &type, body, len_bytes, NULL, deadline_in(c->silent_ns), e);

    if (rc < 0)
        return rc;
    if (type == wanted)
        return 0;
    if (type != CONTROL_REFUSE && type != CONTROL_FAILED)
        return err_set(e, ERR_PEER, EPROTO, "%s: a %s came instead of %s", c->control.ch->name,
            control_type_name((uint16_t)type), control_type_name((uint16_t)wanted));
    message_parse_error(*body, *len_bytes, e);
    return -e->code;
}

void call_end(struct call *c)
{
    if (c->box) {
        mailbox_stop(c->box);
        control_close(&c->control);
        c->box = NULL;
    }
    tls_close(c->tls);
    c->tls = NULL;
}
